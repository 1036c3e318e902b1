"""After a restore from a backup, due jobs wait until staff release or cancel them."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from django.core.management import CommandError, call_command

from jobs.delayed.release import release_while
from jobs.models import DelayedJob, DelayedState, Job, Ticker
from kernel.clock import database_now, rfc3339
from tests.factories import make_agent
from tests.jobs.delayed_rows import delay

pytestmark = pytest.mark.django_db

_HOUR = dt.timedelta(hours=1)


def _command(*words: str) -> str:
    said = io.StringIO()
    call_command("after_restore", *words, stdout=said)
    return said.getvalue()


@pytest.fixture
def due() -> list[DelayedJob]:
    """Two delayed jobs that became due since the backup of two hours ago, and a third that is not due."""
    agent, past = make_agent(name="nas"), database_now() - 2 * _HOUR
    delay(agent, now=past, seconds=86_400)
    return [delay(agent, f"close {number}", now=past, seconds=600) for number in range(2)]


@pytest.fixture
def backup() -> str:
    """The time of the backup."""
    return rfc3339(database_now() - 2 * _HOUR) or ""


def test_it_holds_and_lists_and_then_lets_them_start(due: list[DelayedJob], backup: str) -> None:
    said = _command("--backup-taken", backup)
    assert all(row.pk in said for row in due)
    assert "close 1" in said
    assert "nas" in said
    assert Ticker.objects.get().held_at is not None
    assert (release_while(0.1), Job.objects.count()) == (0, 0)
    _command("--go")
    assert (release_while(0.1), Job.objects.count()) == (2, 2)


def test_it_cancels_what_fell_due_and_nothing_else(due: list[DelayedJob], backup: str) -> None:
    _command("--backup-taken", backup)
    assert "2" in _command("--skip")
    assert release_while(0.1) == 0
    found = DelayedJob.objects.filter(pk__in=[row.pk for row in due])
    assert {(row.state, row.reason) for row in found} == {(DelayedState.CANCELED, "restored")}
    assert DelayedJob.objects.filter(state=DelayedState.SCHEDULED).count() == 1


@pytest.mark.parametrize(
    "words", [[], ["--go", "--skip"], ["--backup-taken", "yesterday"], ["--backup-taken", "2999-01-01T00:00:00Z"]]
)
def test_other_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises((CommandError, SystemExit)):
        _command(*words)
    assert not Ticker.objects.exists()
