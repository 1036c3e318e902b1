"""Clocks that are off, and due work that no process looks for: logged once an episode, and staff are notified once."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.models import AuditEntry, User
from jobs.clocks import watch
from jobs.clocks.progress import note_progress, report_silence, ticks_silent_since
from jobs.clocks.skew import clocks_that_are_off, note_skew
from jobs.clocks.watch import ClockWatch
from jobs.models import ProcessClock, Ticker
from kernel import clock
from kernel.clock import approximate_now, database_now
from kernel.hostclock import HostClock
from kernel.ids import lowest_id, new_id
from notifications.models import Channel, Level, Message
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _staff() -> None:
    """bob is staff and can be reached; alice is not staff."""
    now = database_now()
    for name in ("bob", "alice"):
        user = make_user(name)
        User.objects.filter(pk=user.pk).update(is_staff=name == "bob")
        Channel.objects.create(
            owner=user, name="hook", driver="webhook", address=name, levels=list(Level.values), created_at=now,
            changed_at=now,
        )  # fmt: skip


def _notices() -> list[str]:
    assert not Message.objects.exclude(owner__username="bob").exists()
    return list(Message.objects.order_by("pk").values_list("text", flat=True))


def _actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.action for record in caplog.records if hasattr(record, "action")]


@pytest.mark.parametrize("seconds", [4.0, -4.0, 3600.0, -86400.0])
def test_an_episode_is_one_line_one_notice_and_one_line_at_its_end(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for measured in (0.2, seconds, seconds, 0.8, seconds, 0.1, 0.0):
            note_skew(name="beat@one", host="one", seconds=measured)
    assert _actions(caplog) == ["clock.off", "clock.right"]
    (notice,) = _notices()
    assert "beat@one" in notice
    assert f"{seconds:+.1f}" in notice
    note_skew(name="beat@one", host="one", seconds=2 * seconds)
    assert len(_notices()) == 2


def test_the_processes_of_a_host_share_a_notice_and_another_host_has_its_own() -> None:
    for name in ("web@one", "worker@one", "beat@two"):
        note_skew(name=name, host=name.partition("@")[2], seconds=-2.0)
    assert [row.name for row in clocks_that_are_off()] == ["beat@two", "web@one", "worker@one"]
    assert len(_notices()) == 2


def test_a_process_that_is_gone_for_a_day_is_forgotten() -> None:
    note_skew(name="web@old", host="old", seconds=9.0)
    note_skew(name="web@new", host="new", seconds=0.0, now=database_now() + dt.timedelta(days=1, seconds=5))
    assert list(ProcessClock.objects.values_list("name", flat=True)) == ["web@new"]


def test_silence_of_the_ticks_is_one_notice_and_ends_with_the_next(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two processes look: a worker, whose tick worked once, and a web. The time that passes is monotonic."""
    at, worked_at = 1000.0, 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: at)
    worker = ClockWatch("worker", redis_url=settings.REDIS_URL, worked_ago=lambda: at - worked_at)
    web = ClockWatch("web", redis_url=settings.REDIS_URL)

    def look(seconds: float) -> None:
        nonlocal at
        at = seconds
        worker.look()
        web.look()

    with caplog.at_level(logging.WARNING):
        for seconds in (1001.0, 1030.0, 1059.0):
            look(seconds)
        assert not _notices()
        for seconds in (1063.0, 1080.0, 5000.0):
            look(seconds)
        assert ticks_silent_since() is not None
        worked_at = 5001.0
        look(5002.0)
    assert _actions(caplog) == ["ticker.silent", "ticker.works"]
    assert len(_notices()) == 1
    assert ticks_silent_since() is None


def test_a_product_that_was_down_is_given_a_minute(settings: Any) -> None:
    note_progress(database_now() - dt.timedelta(days=1))
    web = ClockWatch("web", redis_url=settings.REDIS_URL)
    for _ in range(2):
        web.look()
    assert not _notices()


@pytest.mark.parametrize("ahead", [4.0, -3600.0])
def test_a_process_measures_itself_and_redis(ahead: float, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = clock.time.time_ns
    database_now()
    monkeypatch.setattr(clock, "database_now", lambda: None)  # SQLite's follows this very clock
    monkeypatch.setattr(clock.time, "time_ns", lambda: right() + round(ahead * 1e9))
    ClockWatch("web", redis_url=settings.REDIS_URL, worked_ago=lambda: 5.0).look()
    (off,) = clocks_that_are_off()
    assert off.name.startswith("web@")
    assert off.skew_seconds == pytest.approx(ahead, abs=0.5)
    assert ProcessClock.objects.get(name="redis").skew_seconds == pytest.approx(0.0, abs=0.5)
    worked_at = Ticker.objects.get().worked_at
    assert worked_at is not None
    assert 4.0 < (database_now() - worked_at).total_seconds() < 10.0


def test_staff_see_clocks_and_silence_on_the_overview_and_others_do_not(client: Client) -> None:
    now = database_now()
    note_skew(name="beat@one", host="one", seconds=-4.0)
    note_progress(now)
    report_silence(since=now)
    for name, sees in (("bob", True), ("alice", False)):
        client.force_login(User.objects.get(username=name))
        page = client.get("/console/", headers={"Accept-Language": "en"}).content.decode()
        assert ("beat@one (-4.0 s)" in page, "no due work has been looked for" in page) == (sees, sees)


def test_ids_and_the_time_between_queries_are_the_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    now = database_now()
    monkeypatch.setattr(clock.time, "time_ns", lambda: 0)
    assert abs(approximate_now() - now) < dt.timedelta(seconds=1)
    assert lowest_id(now - dt.timedelta(seconds=1)) < new_id() < lowest_id(now + dt.timedelta(seconds=5))


def test_ids_follow_a_clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    right = clock.approximate_ns
    day_ns = 86_400 * 10**9
    monkeypatch.setattr("kernel.ids.approximate_ns", lambda: right() + day_ns)
    ahead = new_id()
    monkeypatch.setattr("kernel.ids.approximate_ns", right)
    assert new_id() < lowest_id(approximate_now() + dt.timedelta(minutes=1)) < ahead


def test_staff_accept_the_clock_of_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "said"
    with out.open("w") as file:
        if connection.vendor == "sqlite":
            host = HostClock(tmp_path / "clock", boot="a", synchronized=lambda: False)
            host.now_ns()
            stepped = HostClock(tmp_path / "clock", boot="a", wall=lambda: clock.time.time_ns() + 3600 * 10**9)
            monkeypatch.setattr("letserver.management.commands.accept_clock.host_clock", lambda: stepped)
            monkeypatch.setattr(stepped, "_synchronized", lambda: False)
        call_command("accept_clock", stdout=file)
    if connection.vendor == "sqlite":
        assert "3600" in out.read_text()
        assert AuditEntry.objects.latest("sequence").action == "clock.accept"
    else:
        assert AuditEntry.objects.latest("sequence").action != "clock.accept"
