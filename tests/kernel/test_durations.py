"""Lengths of time, as the original's agents, people and programs write them."""

from __future__ import annotations

import datetime as dt

from kernel.durations import format_duration, parse_duration
from kernel.errors import InvalidDuration

_GOOD: dict[object, float] = {
    "1h2m3s": 3723,
    "90m": 5400,
    "360h0m0s": 15 * 86_400,
    "1.5h": 5400,
    ".5s": 0.5,
    "1.s": 1,
    "0": 0,
    "0s": 0,
    "1500ms": 1.5,
    "2us": 0.000002,
    "2µs": 0.000002,
    "1ns": 0.000001,  # up: never early
    "1s1ns": 1.000001,
    "3m1h": 3780,
    "15d": 15 * 86_400,
    "2w": 14 * 86_400,
    "1w2d": 9 * 86_400,
    "15天": 15 * 86_400,
    "2小时": 7200,
    "2个小时30分钟": 9000,
    "30分钟": 1800,
    "1小时30分": 5400,
    "１５天": 15 * 86_400,
    "1周": 7 * 86_400,
    " 90s ": 90,
    90: 90,
    0: 0,
}
_BAD: list[object] = [
    "", " ", "90", "1", "-1s", "+1s", "1 h", "h", "1x", "1h2", "1M", "1H", "1e3s", "1..5h", ".h", "abc", "1d ago",
    "٣s", "nan", "infs", "9" * 63 + "w", "1s" * 100, -1, 10**30, True, 1.5, None, [], {},
]  # fmt: skip


def test_durations_are_read_as_go_and_people_write_them() -> None:
    wrong = {text: str(parse_duration(text)) for text, want in _GOOD.items() if parse_duration(text) != _seconds(want)}
    assert wrong == {}


def test_what_is_no_duration_is_refused() -> None:
    taken = []
    for text in _BAD:
        try:
            taken.append((text, parse_duration(text)))
        except InvalidDuration:
            continue
    assert taken == []


def test_a_duration_is_written_as_it_is_read_again() -> None:
    written = {
        seconds: format_duration(_seconds(seconds)) for seconds in (0, 1, 59, 60, 90, 3600, 5400, 86_400, 90_061)
    }
    assert list(written.values()) == ["0s", "1s", "59s", "1m", "1m30s", "1h", "1h30m", "1d", "1d1h1m1s"]
    assert {text: parse_duration(text) for text in written.values()} == {
        text: _seconds(seconds) for seconds, text in written.items()
    }


def _seconds(value: float) -> dt.timedelta:
    return dt.timedelta(microseconds=round(value * 10**6))
