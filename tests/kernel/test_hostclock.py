"""The host's clock is believed only as far as the time since boot, NTP, staff or an hour confirm it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.hostclock import HostClock

pytestmark = pytest.mark.sqlite_only  # no database decides

_HOUR, _DAY = 3600.0, 86400.0
_STEPS = [step for size in (4.0, _HOUR, _DAY) for step in (size, -size)]


class _Host:
    """A machine: time passes, and its wall clock can be set without time passing."""

    def __init__(self, file: Path, *, boot: str = "a", wall: float = 1_800_000_000.0) -> None:
        self.file, self.boot = file, boot
        self.wall, self.steady = wall, 100.0
        self.synchronized = False

    def process(self) -> Callable[[], float]:
        """Start a process; return what asks its clock."""
        clock = self.clock()
        return lambda: clock.now_ns() / 1e9

    def clock(self) -> HostClock:
        return HostClock(
            self.file,
            wall=lambda: round(self.wall * 1e9),
            steady=lambda: round(self.steady * 1e9),
            synchronized=lambda: self.synchronized,
            boot=self.boot,
        )

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    """A host whose clock is right."""
    return _Host(tmp_path / "db-clock")


@pytest.mark.parametrize("step", _STEPS)
def test_a_step_moves_no_process_and_neither_does_the_step_back(host: _Host, step: float) -> None:
    asks = [host.process(), host.process()]
    began = asks[0]()
    host.wall += step
    asks.append(host.process())  # a process that starts while the clock is wrong
    for passed in (1.0, 30.0, 59.0):
        host.wait(passed)
    assert [ask() - began for ask in asks] == pytest.approx([90.0] * 3, abs=0.01)
    host.wall -= step
    host.wait(5.0)
    assert [ask() - began for ask in asks] == pytest.approx([95.0] * 3, abs=0.01)


@pytest.mark.parametrize("step", _STEPS)
def test_ntp_confirms_a_step_at_once(host: _Host, step: float) -> None:
    ask = host.process()
    ask()
    host.wall += step
    host.synchronized = True
    assert ask() == pytest.approx(host.wall)
    host.synchronized = False
    assert host.process()() == pytest.approx(host.wall)


def test_staff_confirm_a_step_for_all_processes(host: _Host) -> None:
    ask = host.process()
    ask()
    host.wall += _HOUR
    assert ask() == pytest.approx(host.wall - _HOUR)
    assert host.clock().accept() == pytest.approx(_HOUR)
    assert ask() == pytest.approx(host.wall)


def test_a_step_that_stays_for_an_hour_is_believed_and_a_shorter_one_is_forgotten(host: _Host) -> None:
    ask = host.process()
    ask()
    host.wall += _DAY
    ask()
    host.wait(3000.0)
    assert ask() == pytest.approx(host.wall - _DAY)
    host.wall -= _DAY
    ask()
    host.wall += _DAY
    ask()
    host.wait(3000.0)
    assert ask() == pytest.approx(host.wall - _DAY)
    host.wait(700.0)
    assert ask() == pytest.approx(host.wall)


def test_small_corrections_are_followed_however_many(host: _Host) -> None:
    ask = host.process()
    ask()
    for _ in range(100):
        host.wall += 0.5
        assert ask() == pytest.approx(host.wall)


def test_after_a_boot_the_wall_clock_is_believed(host: _Host) -> None:
    host.process()()
    rebooted = _Host(host.file, boot="b", wall=host.wall + _DAY)
    rebooted.steady = 3.0
    assert rebooted.process()() == pytest.approx(rebooted.wall)


def test_without_a_boot_id_it_is_the_wall_clock(host: _Host) -> None:
    host.boot = ""
    ask = host.process()
    ask()
    host.wall += _HOUR
    assert ask() == pytest.approx(host.wall)
    assert not host.file.exists()


def test_a_step_is_logged_once_and_once_that_it_is_over(host: _Host, caplog: pytest.LogCaptureFixture) -> None:
    ask = host.process()
    ask()
    with caplog.at_level(logging.WARNING):
        host.wall += _HOUR
        for _ in range(5):
            ask()
        host.wall -= _HOUR
        for _ in range(5):
            ask()
    assert [(record.action, record.seconds) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("clock.step_doubted", _HOUR),
        ("clock.step_over", 0.0),
    ]


def test_a_torn_file_and_a_disk_that_refuses_end_nothing(host: _Host, caplog: pytest.LogCaptureFixture) -> None:
    host.file.write_text("{", encoding="ascii")
    assert host.process()() == pytest.approx(host.wall)
    assert json.loads(host.file.read_text(encoding="ascii"))["boot"] == "a"
    host.file = host.file.parent / "no such folder" / "db-clock"
    ask = host.process()
    ask()
    host.wall += _HOUR
    assert ask() == pytest.approx(host.wall - _HOUR)
    assert "clock file not written" in caplog.text


def test_the_file_is_readable_by_its_owner_only(host: _Host) -> None:
    host.process()()
    assert host.file.stat().st_mode & 0o777 == 0o600
