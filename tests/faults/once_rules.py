"""I5 and I9: a delayed job creates one job, and a distinct key has one live job.

- I5 an accepted delayed job exists (I1); once fired, it has created exactly one job, not before its due time; before,
  it has created none. It fires at the latest one sweep and the measured outages after its due time.
- I9 at most one job with the same distinct key is live in one queue; a job that has ended does not hold its key.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.case import AFTER_ALL, ENDS, Case, Rule, Violation
from tests.faults.records import Row


def _fired_once(case: Case) -> Iterator[Violation]:
    """I5: a fired delayed job has one job, not before its due time; any other has none."""
    made: defaultdict[str, list[Row]] = defaultdict(list)
    for row in case.records.jobs.values():
        if row.parent_id in case.records.delayed and row.attempt == 1:
            made[row.parent_id].append(row)
    for delayed in case.records.delayed.values():
        jobs = made[delayed.id]
        if len(jobs) > 1:
            yield Violation(invariant="I5", job_id=delayed.id, text=f"has fired {len(jobs)} times")
        if delayed.state != "fired" and jobs:
            yield Violation(invariant="I5", job_id=delayed.id, text=f"is {delayed.state} and has made a job")
        if delayed.state == "fired" and delayed.makes_a_job and not jobs:
            yield Violation(invariant="I5", job_id=delayed.id, text="has fired, and there is no job")
        if delayed.fired_at is not None and delayed.fired_at < delayed.due_at:
            text = f"is marked as fired {(delayed.due_at - delayed.fired_at).total_seconds():.3f} s early"
            yield Violation(invariant="I5", job_id=delayed.id, text=text)
        for job in jobs:
            began = job.events[0].at if job.events else AFTER_ALL
            if began < max(delayed.due_at, job.active_at):
                early = (max(delayed.due_at, job.active_at) - began).total_seconds()
                yield Violation(invariant="I5", job_id=delayed.id, text=f"has made its job {early:.3f} s early")


def _fired_in_time(case: Case) -> Iterator[Violation]:
    """I5: due jobs have fired; I1: accepted ones exist."""
    for delayed in case.records.delayed.values():
        if delayed.state != "scheduled":
            continue
        late = (case.now - delayed.due_at).total_seconds()
        outage = case.outage_seconds(delayed.due_at, case.now, recovery=case.limits.recovery) if late > 0 else 0.0
        if late > case.limits.sweep + case.limits.overlap + outage:
            text = f"is due since {delayed.due_at}, {late:.1f} s, and has not fired"
            yield Violation(invariant="I5", job_id=delayed.id, text=text)
    for line in case.records.lines_of("delay"):
        if not line.accepted:
            continue
        found = case.records.delayed.get(line["id"] or "")
        if found is None:
            text = f"answered {line['status']}, and there is no such delayed job"
            yield Violation(invariant="I1", job_id=line["id"] or "", text=text)
        elif found.message != line["message"]:
            text = f"says {found.message[:60]!r}, delayed was {line['message'][:60]!r}"
            yield Violation(invariant="I1", job_id=found.id, text=text)


def _distinct(case: Case) -> Iterator[Violation]:
    """I9: only one live job holds a key."""
    holders: defaultdict[tuple[str | None, str], list[Row]] = defaultdict(list)
    for row in case.records.jobs.values():
        if row.distinct_slot is None:
            continue
        holders[row.queue_id, row.distinct_slot].append(row)
        if row.status in ENDS:
            yield Violation(invariant="I9", job_id=row.id, text=f"is {row.status} and still holds its key")
    for (queue, _slot), rows in holders.items():
        if len(rows) > 1:
            text = f"{len(rows)} jobs of queue {queue} hold one key: {', '.join(sorted(row.id for row in rows))}"
            yield Violation(invariant="I9", job_id=min(row.id for row in rows), text=text)
    yield from _one_at_a_time(case)


def _one_at_a_time(case: Case) -> Iterator[Violation]:
    """I9 over the whole run: of jobs with one distinct key, each was created after the previous one had ended."""
    same: defaultdict[tuple[str | None, str], set[str]] = defaultdict(set)
    for line in case.records.lines_of("submit"):
        row = case.records.jobs.get(line["id"] or "")
        if line["distinct"] is not None and row is not None:
            same[row.queue_id, line["distinct"]].add(row.id)
    for (_queue, key), ids in same.items():
        lives = sorted((_life(case.records.jobs[job_id]), job_id) for job_id in ids)
        for ((_began, ended), earlier), ((began, _ended), later) in itertools.pairwise(lives):
            if began < ended:
                yield Violation(invariant="I9", job_id=later, text=f"began while {earlier}, with key {key!r}, lived")


def _life(row: Row) -> tuple[dt.datetime, dt.datetime]:
    ends = [event.at for event in row.events if event.after in ENDS]
    return row.events[0].at if row.events else row.active_at, ends[0] if ends else AFTER_ALL


ONCE_RULES: tuple[Rule, ...] = (_fired_once, _fired_in_time, _distinct)
