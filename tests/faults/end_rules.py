"""I2: a job has one end, in time, and it is the outcome that the server acknowledged to the agent."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.faults.case import ACTIVE, CHANGES, ENDS, LATE, OUTCOMES, RESULT_CHARACTERS, Case, Rule, Violation
from tests.faults.records import Event, Line, Row

# Final refusals. Other statuses (401, 413, 429, 5xx) say nothing about the job.
_REFUSED = frozenset({400, 404, 409, 410})


def _ended(case: Case) -> Iterator[Violation]:
    """I2: one end and no change after it, except one late result of a job that its agent had, marked as late."""
    for row in case.records.jobs.values():
        late = 0
        for at, event in enumerate(row.events):
            if event.before not in ENDS:
                continue
            step = f"event {event.number}: {event.before} -> {event.after}"
            if (event.before, event.after) not in CHANGES:
                yield Violation(invariant="I2", job_id=row.id, text=f"{step}: the first end is final")
                continue
            late += 1
            had_it = any(earlier.after in ACTIVE for earlier in row.events[:at])
            if not had_it:
                yield Violation(invariant="I2", job_id=row.id, text=f"{step}: a late result of a job that no agent had")
            if at and event.at - row.events[at - 1].at > LATE:
                yield Violation(invariant="I2", job_id=row.id, text=f"{step}: later than seven days")
        if late > 1:
            yield Violation(invariant="I2", job_id=row.id, text=f"{late} late results")
        if row.late != (late > 0):
            text = f"marked late: {row.late}; late results in the audit: {late}"
            yield Violation(invariant="I2", job_id=row.id, text=text)


def _in_time(case: Case) -> Iterator[Violation]:
    """I2: the end is in time. At rest every job has ended."""
    limits = case.limits
    for row in case.records.jobs.values():
        deadline = row.lease_until if row.status in ACTIVE else row.expires_at
        if row.status not in ENDS and limits.at_rest:
            yield Violation(invariant="I2", job_id=row.id, text=f"is {row.status} and has no end")
        elif row.status not in ENDS and deadline is not None and _is_late(case, deadline, deadline, case.now):
            over = (case.now - deadline).total_seconds()
            yield Violation(invariant="I2", job_id=row.id, text=f"is {row.status}, {over:.1f} s after its deadline")
        for event in row.events:
            gave_up = (event.before, event.after) == ("queuing", "expired")
            if gave_up and row.expires_at is not None and _is_late(case, row.expires_at, row.expires_at, event.at):
                over = (event.at - row.expires_at).total_seconds()
                yield Violation(invariant="I2", job_id=row.id, text=f"waited {over:.1f} s longer than it may")
        if limits.lease is not None and row.protocol == 1:
            yield from _leased(case, row, dt.timedelta(seconds=limits.lease))


def _leased(case: Case, row: Row, lease: dt.timedelta) -> Iterator[Violation]:
    sign: Event | None = None
    for event in row.events:
        if sign is not None:
            silent = event.at - sign.at
            if event.after == "expired" and silent < lease:
                text = f"expired {silent.total_seconds():.1f} s after a sign of its agent: the lease was not over"
                yield Violation(invariant="I2", job_id=row.id, text=text)
            elif _is_late(case, sign.at, sign.at + lease, event.at):
                text = f"was {event.before} for {silent.total_seconds():.1f} s without a sign of its agent"
                yield Violation(invariant="I2", job_id=row.id, text=text)
        if event.after not in ACTIVE:
            sign = None
        elif event.actor.startswith("agent:"):
            sign = event


def _is_late(case: Case, since: dt.datetime, deadline: dt.datetime, when: dt.datetime) -> bool:
    """Return whether the sweeps missed a deadline. Outages since `since` extend it."""
    outage = case.outage_seconds(since, when, recovery=case.limits.recovery)
    return when > deadline + dt.timedelta(seconds=case.limits.sweep + case.limits.overlap + outage)


def _reported(case: Case) -> Iterator[Violation]:
    """I2: the row has the outcome that was acknowledged; an outcome reported in time was not refused."""
    taken: dict[str, list[Line]] = {}
    ends: defaultdict[str, list[Line]] = defaultdict(list)
    unrefused: defaultdict[str, list[Line]] = defaultdict(list)
    for line in case.records.lines_of("report"):
        row = case.records.jobs.get(line["id"] or "")
        if row is None:
            if line.accepted:
                text = f"{line['kind']} was answered {line['status']}, and there is no such job"
                yield Violation(invariant="I2", job_id=str(line["id"]), text=text)
            continue
        if line["kind"] not in OUTCOMES:
            if line.accepted and not any(event.after == "running" for event in row.events):
                text = f"progress was answered {line['status']} and left no trace"
                yield Violation(invariant="I2", job_id=row.id, text=text)
            continue
        if case.records.is_called(row.agent_id, line["agent"]):
            ends[row.id].append(line)
        if line["status"] not in _REFUSED and row.id not in taken:
            unrefused[row.id].append(line)
        if line.accepted:
            taken.setdefault(row.id, []).append(line)
    for job_id, lines in taken.items():
        row = case.records.jobs[job_id]
        outcomes = {OUTCOMES[line["kind"]] for line in lines}
        # The row has the first acknowledged outcome, or an earlier one whose answer was lost.
        if len(outcomes) > 1:
            text = f"different outcomes were taken: {', '.join(sorted(outcomes))}"
            yield Violation(invariant="I2", job_id=job_id, text=text)
        elif (row.status, row.result) not in set(map(_outcome, unrefused[job_id])):
            text = (
                f"{_short(_outcome(lines[0]))} was acknowledged to the agent;"
                f" the row says {_short((row.status, row.result))}"
            )
            yield Violation(invariant="I2", job_id=job_id, text=text)
    for job_id, reports in ends.items():
        yield from _refused(case.records.jobs[job_id], reports, job_id in taken)


def _outcome(line: Line) -> tuple[str, str]:
    return OUTCOMES[line["kind"]], (line["text"] or "")[:RESULT_CHARACTERS]


def _refused(row: Row, reports: Sequence[Line], is_taken: bool) -> Iterator[Violation]:
    """I2: the outcome that an agent reported of its job is in the row, unless another report was accepted."""
    last = row.events[-1] if row.events else None
    had_it = last is not None and last.before in ACTIVE and last.after == "expired"
    no = [line for line in reports if line["status"] in _REFUSED]
    if had_it and no and not is_taken:
        text = f"its agent reported {no[0]['kind']} and was answered {no[0]['status']}, and the job is still expired"
        yield Violation(invariant="I2", job_id=row.id, text=text)
    if row.status in OUTCOMES.values() and (row.status, row.result) not in set(map(_outcome, reports)):
        text = f"the row says {_short((row.status, row.result))}, which its agent never reported"
        yield Violation(invariant="I2", job_id=row.id, text=text)


def _read(case: Case) -> Iterator[Violation]:
    """I2: an end that a client has read does not change, except by a late result."""
    for line in case.records.lines_of("read"):
        row = case.records.jobs.get(line["id"] or "")
        if row is None:
            if line["status"] in ENDS | ACTIVE | {"queuing"}:
                yield Violation(invariant="I1", job_id=str(line["id"]), text="was read, and there is no such job")
        elif line["status"] in ENDS and line["status"] != row.status and not (line["status"] == "expired" and row.late):
            text = f"was read as {line['status']} and is {row.status}"
            yield Violation(invariant="I2", job_id=row.id, text=text)


def _short(outcome: tuple[str, str | None]) -> str:
    return f"{outcome[0]} {(outcome[1] or '')[:40]!r}"


END_RULES: tuple[Rule, ...] = (_ended, _in_time, _reported, _read)
