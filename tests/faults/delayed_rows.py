"""`python -m tests.faults.delayed_rows`: insert thousands of delayed jobs, and report how they were released.

    fill COUNT AFTER SPAN    COUNT rows, due over SPAN seconds that begin in AFTER seconds; prints the seconds left
    count                    prints how many are still scheduled
    report                   prints, as JSON: fired, jobs, double, early, lateness, and the violations

Rows are inserted in bulk, with the values that the service would write: only the release is measured. Lateness is in
seconds, from the due time to the start of the transaction that created the job.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import django

django.setup()

from django.db import connection, transaction  # noqa: E402  only after Django is set up

from jobs.delayed.service import OCCURRENCE  # noqa: E402
from jobs.models import DelayedJob, DelayedState, Job  # noqa: E402
from kernel.clock import database_now  # noqa: E402
from kernel.ids import new_id, occurrence_id  # noqa: E402
from tests.factories import make_agent, make_user  # noqa: E402
from tests.faults.invariants import Limits, check  # noqa: E402

_AGENTS = 10
_BATCH = 1000


def fill(count: int, after: float, span: float) -> None:
    """Insert rows for ten offline agents."""
    owner = make_user("delays")
    agents = [make_agent(owner=owner, name=f"away-{number}", online=False) for number in range(_AGENTS)]
    now = database_now()
    begin = now + dt.timedelta(seconds=after)
    for start in range(0, count, _BATCH):
        rows = []
        for number in range(start, min(count, start + _BATCH)):
            row_id = new_id()
            rows.append(
                DelayedJob(
                    id=row_id,
                    owner=owner,
                    agent=agents[number % _AGENTS],
                    message=f"later {number}",
                    callback="disable",
                    actor="test",
                    due_at=begin + dt.timedelta(seconds=span * number / count),
                    job_id=occurrence_id(row_id, OCCURRENCE),
                    created_at=now,
                    updated_at=now,
                )
            )
        with transaction.atomic():
            DelayedJob.objects.bulk_create(rows)
    print((begin + dt.timedelta(seconds=span) - database_now()).total_seconds())


def count_waiting() -> None:
    """Print how many are still scheduled."""
    print(DelayedJob.objects.filter(state=DelayedState.SCHEDULED).count())


def report() -> None:
    """Print the counts, the lateness and the violations as JSON."""
    rows = dict(DelayedJob.objects.values_list("pk", "due_at"))
    late = []
    made: Counter[str | None] = Counter()
    for parent_id, created_at in Job.objects.values_list("parent_id", "created_at").iterator(chunk_size=5000):
        made[parent_id] += 1
        late.append((created_at - rows[str(parent_id)]).total_seconds())
    late.sort()
    with tempfile.TemporaryDirectory() as nothing:
        limits = Limits(at_rest=False, sweep=1e9)
        found = [str(one) for one in check(Path(nothing), connection, limits=limits)]
    print(
        json.dumps(
            {
                "fired": DelayedJob.objects.filter(state=DelayedState.FIRED).count(),
                "jobs": len(late),
                "double": sum(times - 1 for times in made.values()),
                "early": len([one for one in late if one < 0]),
                "p50": late[len(late) // 2],
                "p99": late[len(late) * 99 // 100],
                "longest": late[-1],
                "found": found[:10],
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
    else:
        {"count": count_waiting, "report": report}[sys.argv[1]]()
