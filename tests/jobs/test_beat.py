"""Beat paces ticks by the time since boot, and sends none that would only fill the broker."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils.dateparse import parse_datetime
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from jobs import tasks
from kernel.clock import database_now
from letserver import beat
from letserver.beat import MOST_WAITING, TickEntry, TickScheduler, paced_now, refuse_other_schedulers
from letserver.celery import app
from letserver.ticks import STALE_AT

pytestmark = pytest.mark.django_db


class _Producer:
    """Keeps the headers of what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []


@pytest.fixture
def task() -> PeriodicTask:
    """A tick each second that is stale after two."""
    interval, _made = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    return PeriodicTask.objects.create(
        name="a tick", task="jobs.sweep_keys", interval=interval, expire_seconds=2, headers='{"kept": "yes"}'
    )


def _send(task: PeriodicTask, *, waiting: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    producer = _Producer()

    def apply_async(args: Any, kwargs: Any, *, producer: _Producer, headers: dict[str, Any], **options: Any) -> None:
        assert not {"expires", "eta", "countdown"} & options.keys()
        producer.sent.append(headers)

    monkeypatch.setattr(app.tasks[tasks.sweep_keys.name], "apply_async", apply_async)
    monkeypatch.setattr(TickScheduler, "sync", lambda self: None)  # it closes the connection of the test
    queue = f"{waiting} wait"
    with app.connection_for_write() as connection, connection.SimpleQueue(queue) as messages:
        messages.clear()
        for _ in range(waiting):
            messages.put("x")
        entry = TickEntry(task, app=app)
        entry.options["queue"] = queue
        TickScheduler(app, lazy=True).apply_async(entry, producer=producer, advance=False)
        messages.clear()
    return producer.sent


def test_a_tick_says_from_when_it_is_stale_by_the_databases_clock(
    task: PeriodicTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (headers,) = _send(task, waiting=MOST_WAITING - 1, monkeypatch=monkeypatch)
    assert headers["kept"] == "yes"
    stale_at = parse_datetime(headers[STALE_AT])
    assert stale_at is not None
    assert dt.timedelta(seconds=1) < stale_at - database_now() <= dt.timedelta(seconds=2)


def test_no_tick_is_sent_while_a_thousand_wait_or_without_a_database(
    task: PeriodicTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _send(task, waiting=MOST_WAITING, monkeypatch=monkeypatch) == []

    def away() -> dt.datetime:
        raise DatabaseError

    monkeypatch.setattr(beat, "database_now", away)
    monkeypatch.setattr(beat, "close_old_connections", lambda: None)
    assert _send(task, waiting=0, monkeypatch=monkeypatch) == []


@pytest.mark.parametrize("ahead", [dt.timedelta(seconds=4), dt.timedelta(hours=1), dt.timedelta(days=1)])
def test_a_last_run_in_the_future_silences_no_tick(task: PeriodicTask, ahead: dt.timedelta) -> None:
    task.last_run_at = paced_now() + ahead
    entry = TickEntry(task, app=app)
    assert 0.0 < entry.is_due().next <= 1.0


def _service(kind: type[DatabaseScheduler]) -> Any:
    """Return a beat as `beat_init` brings it: the class is still a name."""
    return SimpleNamespace(scheduler_cls=f"{kind.__module__}:{kind.__name__}", scheduler=kind.__new__(kind))


def test_beat_refuses_another_scheduler() -> None:
    refuse_other_schedulers(sender=_service(TickScheduler))
    with pytest.raises(SystemExit, match="without -S"):
        refuse_other_schedulers(sender=_service(DatabaseScheduler))


def test_a_tick_is_sent_although_the_producers_channel_has_died(
    task: PeriodicTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(app.tasks[tasks.sweep_keys.name], "apply_async", lambda *_, **options: sent.append(options))
    monkeypatch.setattr(TickScheduler, "sync", lambda self: None)
    scheduler = TickScheduler(app, lazy=True)
    scheduler.producer.channel.close()  # as it is after Redis was away
    scheduler.apply_async(TickEntry(task, app=app), producer=scheduler.producer, advance=False)
    assert len(sent) == 1
