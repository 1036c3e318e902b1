"""I8: the order in which jobs start, and the width of queues."""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from tests.faults.case import ACTIVE, AFTER_ALL, Case, Rule, Violation
from tests.faults.records import Row

_Rank: TypeAlias = tuple[int, dt.datetime, str]
"""The sort key of jobs: higher priority first, then the older."""


def _in_order(case: Case) -> Iterator[Violation]:
    """I8: a claim takes the first waiting job; a queue has not more active jobs than its width."""
    lanes: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in case.records.jobs.values():
        if row.queue_id is not None:
            lanes["queue", row.queue_id].append(row)
        elif row.agent_id is not None:
            lanes["agent", row.agent_id].append(row)
    for (kind, name), rows in lanes.items():
        width = case.records.widths.get(name, 1) if kind == "queue" else None
        if width is None or width == 1:
            yield from _passed_over(case, f"{kind} {name}", rows)
        if width is not None:
            yield from _too_many(case, f"{kind} {name}", rows, width)


def _passed_over(case: Case, where: str, rows: Sequence[Row]) -> Iterator[Violation]:
    overlap = dt.timedelta(seconds=case.limits.overlap)
    waits: list[tuple[dt.datetime, _Rank, dt.datetime]] = []
    claims: list[tuple[dt.datetime, _Rank]] = []
    for row in rows:
        key = (-row.priority, row.active_at, row.id)
        for event, following in itertools.zip_longest(row.events, row.events[1:]):
            if event.after == "queuing":
                since = max(event.at, row.active_at) + overlap
                waits.append((since, key, following.at - overlap if following else AFTER_ALL))
            if (event.before, event.after) == ("queuing", "sent"):
                claims.append((event.at, key))
    waits.sort()
    waiting: list[tuple[_Rank, dt.datetime]] = []
    at = 0
    for when, key in sorted(claims):
        while at < len(waits) and waits[at][0] < when:
            heapq.heappush(waiting, waits[at][1:])
            at += 1
        while waiting and waiting[0][1] <= when:
            heapq.heappop(waiting)
        if waiting and waiting[0][0] < key and not _in_a_fault(case, when):
            _priority, due, first = waiting[0][0]
            text = f"handed out at {when} before {first}, which had been waiting since {due} ({where})"
            yield Violation(invariant="I8", job_id=key[2], text=text)


def _in_a_fault(case: Case, when: dt.datetime) -> bool:
    """Return whether a fault could hold locks at this time, which no row shows."""
    margin = dt.timedelta(seconds=case.limits.overlap)
    return case.outage_seconds(when - margin, when + margin, recovery=case.limits.overlap) > 0


def _too_many(case: Case, where: str, rows: Sequence[Row], width: int) -> Iterator[Violation]:
    overlap = dt.timedelta(seconds=case.limits.overlap)
    steps: list[tuple[dt.datetime, int, str]] = []
    for row in rows:
        since: dt.datetime | None = None
        for event in row.events:
            if event.after in ACTIVE:
                since = since or event.at
            elif since is not None:
                if event.at - overlap > since:
                    steps += [(since, 1, row.id), (event.at - overlap, -1, row.id)]
                since = None
        if since is not None:
            steps.append((since, 1, row.id))
    running = 0
    for _at, step, job_id in sorted(steps):
        running += step
        if step > 0 and running > width:
            yield Violation(invariant="I8", job_id=job_id, text=f"is active number {running} of {width} in {where}")


ORDER_RULES: tuple[Rule, ...] = (_in_order,)
