"""The database's clock decides whether a tick is stale, and a tick that was dropped is not progress."""

from __future__ import annotations

import datetime as dt
import logging

import pytest
from celery import shared_task

from kernel.clock import database_now, rfc3339
from letserver.ticks import STALE_AT, progress

_done: list[str] = []


@shared_task(name="tests.note")
def _note(word: str) -> None:
    _done.append(word)


@shared_task(name="tests.fail")
def _fail() -> None:
    raise ValueError


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    _done.clear()


def _tick(word: str, **stale_in: float) -> None:
    stale_at = rfc3339(database_now() + dt.timedelta(**stale_in))
    _note.apply(args=(word,), headers={STALE_AT: stale_at})


@pytest.mark.django_db
def test_a_tick_is_dropped_from_its_time_on() -> None:
    _tick("fresh", seconds=2)
    _tick("stale", seconds=-1)
    assert _done == ["fresh"]


@pytest.mark.django_db
def test_stale_ticks_are_logged_once_a_row_and_are_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    _tick("fresh", seconds=2)
    worked, dropped = progress.worked_at, progress.dropped_at
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            _tick("stale", seconds=-1)
    assert progress.worked_at == worked
    assert progress.dropped_at > dropped
    assert caplog.text.count("stale tick dropped") == 1
    _tick("fresh", seconds=2)
    assert progress.worked_at > worked


@pytest.mark.django_db
def test_a_tick_without_a_time_and_a_task_that_fails() -> None:
    _note.apply(args=("no time",))
    assert _done == ["no time"]
    worked = progress.worked_at
    _fail.apply()
    assert progress.worked_at == worked
