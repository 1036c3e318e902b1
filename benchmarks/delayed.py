"""The lateness of delayed jobs when a million others are pending.

A job is late from its due time until another connection can read it: the number of jobs is polled, and the job that
makes it n is taken as the n-th due job. The yardstick is a thread of this process that sleeps until such due times and
commits one row to its own SQLite file on the same disk.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from benchmarks.people import people
from benchmarks.product import Product
from benchmarks.table import Bench, Line, Round

PENDING = 1_000_000
_A_SECOND = 10_000 / 60
_SECONDS_FOR_ONE = 6.0
"""A round takes this many times as long as one of another figure: a minute instead of ten seconds."""

_LEAD_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_YARDSTICKS_A_SECOND = 5
_AT_ONCE = 100_000


def _measure(product: Product, seconds: float) -> Round:
    span = seconds * _SECONDS_FOR_ONE
    count = max(100, round(_A_SECOND * span))
    _wait_for_later(product, PENDING)
    with product.sweeps():
        begin = _due_soon(product, count, span)
        sleeper = _Sleeper(product.web.folder / "yardstick.sqlite3", begin, span)
        sleeper.start()
        late = _seen_late(begin, span, count)
        sleeper.join()
    return {
        "p50": _milliseconds(late, 0.50),
        "p99": _milliseconds(late, 0.99),
        "sleeper_p50": _milliseconds(sleeper.late, 0.50),
        "sleeper_p99": _milliseconds(sleeper.late, 0.99),
    }


def _wait_for_later(product: Product, wanted: int) -> None:
    """Insert delayed jobs, due in a year, until there are `wanted`. Later rounds find them there."""
    from django.db import connection

    from jobs.models import DelayedJob, DelayedState

    owner = people(product)[0]
    later = DelayedJob.objects.filter(owner_id=owner.id, state=DelayedState.SCHEDULED)
    if not later.exists():
        DelayedJob.objects.bulk_create([_row(owner.id, _agent(owner.id), _now() + dt.timedelta(days=365))])
    columns = [field.column for field in DelayedJob._meta.concrete_fields]
    # Each copy gets a new id, and a due time at most 15 minutes after that of its original, to spread the index.
    new_id = "lower(substr(hex(randomblob(16)), 1, 8) || '-0000-7000-8000-' || substr(hex(randomblob(16)), 1, 12))"
    values = {
        "id": new_id,
        "job_id": "NULL",
        "due_at": "strftime('%Y-%m-%d %H:%M:%f', due_at, '+' || (abs(random()) % 900) || ' seconds')",
    }
    shown = ", ".join(values.get(name, f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    while (missing := wanted - later.count()) > 0:
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO jobs_delayedjob ({names}) SELECT {shown} FROM jobs_delayedjob"
                " WHERE state = 'scheduled' LIMIT %s",
                [min(missing, _AT_ONCE)],
            )


def _due_soon(product: Product, count: int, span: float) -> dt.datetime:
    """Insert `count` delayed jobs, due at equal intervals within `span` seconds; return the due time of the first."""
    from jobs.models import DelayedJob

    owner = people(product)[1]
    agent_id = _agent(owner.id)
    begin = _now() + dt.timedelta(seconds=_LEAD_SECONDS + count / 5000)
    due_times = (begin + dt.timedelta(seconds=span * number / count) for number in range(count))
    DelayedJob.objects.bulk_create([_row(owner.id, agent_id, due_at) for due_at in due_times], batch_size=500)
    return begin


def _seen_late(begin: dt.datetime, span: float, count: int) -> list[float]:
    """Return the lateness of each job in seconds, in the order of their due times."""
    from jobs.models import Job

    jobs = Job.objects.exclude(parent_id=None)
    before = jobs.count()
    late: list[float] = []
    end = time.monotonic() + (begin - _now()).total_seconds() + span + _PATIENCE_SECONDS
    while len(late) < count and time.monotonic() < end:
        there, now = jobs.count() - before, _now()
        late += [(now - begin).total_seconds() - span * number / count for number in range(len(late), there)]
        time.sleep(_LOOK_SECONDS)
    # A job that was never seen counts with the longest wait.
    return late + [span + _PATIENCE_SECONDS] * (count - len(late))


class _Sleeper(threading.Thread):
    """Sleeps until each due time, then commits one row with the product's durability (synchronous=FULL)."""

    def __init__(self, file: Path, begin: dt.datetime, span: float) -> None:
        super().__init__(name="sleeper", daemon=True)
        self.late: list[float] = []
        self._file = file
        self._begin = begin
        self._count = round(span * _YARDSTICKS_A_SECOND)

    def run(self) -> None:
        with closing(sqlite3.connect(self._file)) as database:
            database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (n)")
            for number in range(self._count):
                due_at = self._begin + dt.timedelta(seconds=number / _YARDSTICKS_A_SECOND)
                time.sleep(max(0.0, (due_at - _now()).total_seconds()))
                with database:
                    database.execute("INSERT INTO t VALUES (?)", [number])
                self.late.append((_now() - due_at).total_seconds())


def _row(owner_id: str, agent_id: str, due_at: dt.datetime) -> object:
    from jobs.delayed.service import OCCURRENCE
    from jobs.models import DelayedJob
    from kernel.ids import new_id, occurrence_id

    row_id, now = new_id(), _now()
    return DelayedJob(
        id=row_id,
        owner_id=owner_id,
        agent_id=agent_id,
        message="close order 123",
        callback="disable",
        actor="bench",
        due_at=due_at,
        job_id=occurrence_id(row_id, OCCURRENCE),
        created_at=now,
        updated_at=now,
    )


def _agent(owner_id: str) -> str:
    """Return the id of an agent that is offline; create it on the first call."""
    from accounts.models import User
    from agents.models import Agent
    from tests.factories import make_agent

    found = Agent.objects.filter(owner_id=owner_id, name="away").first()
    return (found or make_agent(owner=User.objects.get(pk=owner_id), name="away", online=False)).pk


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _milliseconds(late: list[float], share: float) -> float:
    late = sorted(late)
    return 1000 * late[min(len(late) - 1, int(len(late) * share))]


BENCH = Bench(
    name="delayed",
    lines=[
        Line(
            title=f"delayed job, due to queuing, {share}",
            figure=figure,
            yardstick=f"sleeper_{figure}",
            beside=f"a thread that sleeps and commits, {share}",
            unit="ms",
        )
        for figure, share in (("p50", "p50"), ("p99", "p99"))
    ],
    measure=_measure,
)
