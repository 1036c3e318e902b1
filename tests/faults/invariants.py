"""The checker of the guarantees: compares the rows at rest and the clients' own logs with the rules.

It is written from the specification of the guarantees, imports nothing of the product, and only reads. The names are
those of the specification:

- I1 every submit answered 2xx exists, one job for one key, and the same id at every attempt.
- I2 a job has exactly one end, within its bound; the only later change is one late result of an expired job. The row
  has the outcome that was acknowledged to the agent: the first end is final, a late one within seven days is not
  dropped.
- I3 a command starts at most once for an id; attempts of one job follow each other.
- I4 a job is handed to, started and reported by its own agent, which has the same owner.
- I5, I9 a delayed job creates one job, never early; one job of a distinct key at a time: `once_rules.py`.
- I8 jobs of an agent (without a queue: by the server, one a poll) start by (due, id), those of a queue of width 1 the
  higher priority first; a queue has no more active than its width. Overlapping transactions may overtake each other (a
  locked row is skipped), so a job counts as overtaken only if it waited longer than a transaction lasts before and
  after the claim, and no fault could hold a lock for longer.
- I10 every change has its event: numbers without a gap, each starts from the status that the one before set, and the
  row has the status of the last.

I6 and I7 are about messages: see `message_invariants.py`.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import ACTIVE, BEFORE_ALL, CHANGES, ENDS, Case, Limits, Rule, Violation
from tests.faults.end_rules import END_RULES
from tests.faults.once_rules import ONCE_RULES
from tests.faults.order_rules import ORDER_RULES
from tests.faults.records import Connection, Event, Row, read_records

__all__ = ["Limits", "Violation", "check", "find_violations"]


def check(
    folder: Path, connection: Connection, *, limits: Limits | None = None, now: dt.datetime | None = None
) -> list[Violation]:
    """Return every violation that the logs of `folder` and the rows show.

    Six SELECTs, no write. The connection must see all commits, so open a new one. `now` defaults to this host's UTC.
    """
    when = now or dt.datetime.now(dt.UTC)
    if when.tzinfo:
        when = when.astimezone(dt.UTC).replace(tzinfo=None)
    records = read_records(folder, connection)
    return find_violations(Case(records=records, limits=limits or Limits(), now=when, clock=time.monotonic()))


def find_violations(case: Case) -> list[Violation]:
    """Return the violations of every rule."""
    return [violation for rule in RULES for violation in rule(case)]


def _submitted(case: Case) -> Iterator[Violation]:
    """I1: an acknowledged job exists as it was sent; a key has one job and a job one key."""
    answered: defaultdict[object, set[str]] = defaultdict(set)
    keys: defaultdict[str, set[object]] = defaultdict(set)
    requested: defaultdict[tuple[object, str], set[object]] = defaultdict(set)
    for number, line in enumerate(case.records.lines_of("submit")):
        # Without a key every attempt is a submission of its own.
        key = ("key", line["key"]) if line["key"] is not None else ("try", number)
        requested[line["agent"], line["message"]].add(key)
        if not line.accepted:
            continue
        job_id = line["id"]
        row = case.records.jobs.get(job_id or "")
        if not job_id:
            yield Violation(invariant="I1", job_id="", text=f"answered {line['status']} without an id")
            continue
        if row is None:
            text = f"answered {line['status']} for key {line['key']!r}, and there is no such job"
            yield Violation(invariant="I1", job_id=job_id, text=text)
        elif row.message != line["message"]:
            text = f"says {row.message[:60]!r}, submitted was {line['message'][:60]!r}"
            yield Violation(invariant="I1", job_id=job_id, text=text)
        elif not case.records.is_called(row.agent_id, line["agent"]):
            text = f"submitted for agent {line['agent']}, is with agent {row.agent_id}"
            yield Violation(invariant="I4", job_id=job_id, text=text)
        answered[key].add(job_id)
        keys[job_id].add(key)
    for key, ids in answered.items():
        if len(ids) > 1:
            text = f"key {key!r} was answered with {len(ids)} ids: {', '.join(sorted(ids))}"
            yield Violation(invariant="I1", job_id=min(ids), text=text)
    for job_id, several in keys.items():
        if len(several) > 1:
            text = f"{len(several)} submissions were answered with this one job"
            yield Violation(invariant="I1", job_id=job_id, text=text)
    yield from _counted(case, requested)


def _counted(case: Case, requested: dict[tuple[object, str], set[object]]) -> Iterator[Violation]:
    """I1: there are not more jobs than keys. Finds a second job of a key whose answer was lost."""
    roots: defaultdict[tuple[object, str], set[str]] = defaultdict(set)
    for row in case.records.jobs.values():
        agent = case.records.agents.get(row.agent_id or "")
        for called in {agent.id, agent.name} if agent else ():
            roots[called, row.message].add(row.root_id)
    for (called, message), keys in requested.items():
        found = roots[called, message]
        if len(found) > len(keys):
            text = f"{len(found)} jobs say {message[:60]!r} to {called}, submitted under {len(keys)} key(s)"
            yield Violation(invariant="I1", job_id=max(found), text=text)


def _started(case: Case) -> Iterator[Violation]:
    """I3: a job starts at most once, and only at an agent that has it; old clients get an id once."""
    for do, words in (("started", "started"), ("claimed", "was handed to clients that acknowledge nothing")):
        for job_id, times in Counter(line["id"] for line in case.records.lines_of(do)).items():
            if times > 1:
                yield Violation(invariant="I3", job_id=str(job_id), text=f"{words} {times} times")
    for job_id in sorted({str(line["id"]) for line in case.records.lines_of("started")}):
        row = case.records.jobs.get(job_id)
        if row is None:
            yield Violation(invariant="I3", job_id=job_id, text="started, and there is no such job")
        elif not any(event.after in ACTIVE for event in row.events):
            yield Violation(invariant="I3", job_id=job_id, text="started, and was never handed out")
        elif row.protocol > 1 and not any(event.after == "running" for event in row.events):
            yield Violation(invariant="I3", job_id=job_id, text="started without an acknowledgment")
        elif any(event.before == "queuing" and event.after in ENDS for event in row.events):
            # The job was back in the queue when it ended, so no agent may have run it.
            yield Violation(invariant="I3", job_id=job_id, text=f"started, and ended as {row.status} while waiting")


def _retried(case: Case) -> Iterator[Violation]:
    """I3: attempts of one job do not overlap, on the server and at the agents."""
    attempts: defaultdict[str, list[Row]] = defaultdict(list)
    for row in case.records.jobs.values():
        attempts[row.root_id].append(row)
    spans: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for line in case.records.lines_of("started", "ended"):
        spans[str(line["id"])].setdefault(line.do, line.t)
    overlap = dt.timedelta(seconds=case.limits.overlap)
    for rows in attempts.values():
        rows.sort(key=lambda row: row.attempt)
        for earlier, later in itertools.pairwise(rows):
            name = f"attempt {later.attempt} of {earlier.root_id}"
            end = next((event.at for event in earlier.events if event.after in ENDS), None)
            if later.attempt == earlier.attempt:
                yield Violation(invariant="I3", job_id=later.id, text=f"{name} is there twice")
            if later.events and (end is None or later.events[0].at < end - overlap):
                text = f"{name} was made before attempt {earlier.attempt} had ended"
                yield Violation(invariant="I3", job_id=later.id, text=text)
            one, two = spans[earlier.id], spans[later.id]
            if "started" in one and two.get("started", float("inf")) < one.get("ended", float("-inf")):
                text = f"{name} started while attempt {earlier.attempt} ran"
                yield Violation(invariant="I3", job_id=later.id, text=text)


def _own(case: Case) -> Iterator[Violation]:
    """I4: only the job's own agent, which has the same owner, handles it."""
    for row in case.records.jobs.values():
        agent = case.records.agents.get(row.agent_id or "")
        if agent is not None and agent.owner_id != row.owner_id:
            text = f"is of owner {row.owner_id}, its agent {agent.id} of owner {agent.owner_id}"
            yield Violation(invariant="I4", job_id=row.id, text=text)
        # A job of a group or of a pulled queue belongs to the last agent that claimed it.
        holder = "" if row.queue_id in case.records.shared else f"agent:{row.agent_id}"
        for event in row.events:
            if not event.before:
                continue  # An agent may submit jobs for other agents of its owner.
            by_an_agent = event.before != event.after and event.after in {"sent", "running", "succeeded", "failed"}
            if row.queue_id in case.records.shared and (event.before, event.after) == ("queuing", "sent"):
                holder = event.actor
            if (by_an_agent or event.actor.startswith("agent:")) and event.actor != holder:
                text = f"event {event.number}, to {event.after}, is by {event.actor}; it is {holder}'s"
                yield Violation(invariant="I4", job_id=row.id, text=text)
    for line in case.records.lines_of("claimed", "started", "ended", "report"):
        known = case.records.jobs.get(line["id"] or "")
        has_it = line.do != "report" or line.accepted
        if known is not None and has_it and not case.records.is_called(known.agent_id, line["agent"]):
            text = f"agent {line['agent']} {line.do} it ({line.source}); it is for agent {known.agent_id}"
            yield Violation(invariant="I4", job_id=known.id, text=text)


def _audited(case: Case) -> Iterator[Violation]:
    """I10: the events lead to the status of the row."""
    overlap = dt.timedelta(seconds=case.limits.overlap)
    for row in case.records.jobs.values():
        if not row.events:
            yield Violation(invariant="I10", job_id=row.id, text=f"is {row.status} and has no event")
            continue
        numbers = [event.number for event in row.events]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation(invariant="I10", job_id=row.id, text=f"its events are numbered {numbers}")
        before, earliest = "", BEFORE_ALL
        for event in row.events:
            yield from _step(row, event, before, earliest)
            before, earliest = event.after, max(earliest, event.at - overlap)
        if row.status != before:
            text = f"is {row.status}; its last event, {row.events[-1].number}, says {before}"
            yield Violation(invariant="I10", job_id=row.id, text=text)


def _step(row: Row, event: Event, before: str, earliest: dt.datetime) -> Iterator[Violation]:
    step = f"event {event.number}: {event.before or '(nothing)'} -> {event.after}"
    if event.before != before:
        yield Violation(invariant="I10", job_id=row.id, text=f"{step}, but the job was {before or '(nothing)'}")
    if (event.before, event.after) not in CHANGES and event.before not in ENDS:  # I2 checks steps after an end.
        yield Violation(invariant="I10", job_id=row.id, text=f"{step} is no step of a job")
    if event.at < earliest:
        yield Violation(invariant="I10", job_id=row.id, text=f"{step} at {event.at}, before the one that led to it")


RULES: tuple[Rule, ...] = (_submitted, *END_RULES, _started, _retried, _own, *ORDER_RULES, *ONCE_RULES, _audited)
"""All rules."""
