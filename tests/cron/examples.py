"""Reads the cron examples that server and agent share."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = json.loads((Path(__file__).parent / "examples.json").read_text(encoding="utf-8"))
RUNS: list[dict[str, Any]] = _FILE["runs"]
REFUSED: list[dict[str, Any]] = _FILE["refused"]


@dataclass(frozen=True)
class Calendar:
    """Monday to Friday except `rest`, and the days of `work`."""

    rest: frozenset[str] = frozenset()
    work: frozenset[str] = frozenset()
    none: bool = False

    def includes(self, day: dt.date) -> bool:
        return not self.none and (
            day.isoformat() in self.work or (day.weekday() < 5 and day.isoformat() not in self.rest)
        )


def calendar_of(example: dict[str, Any]) -> Calendar | None:
    """Return the calendar of an example, or None."""
    if "calendar" not in example:
        return None
    days = _FILE["calendars"][example["calendar"]]
    return Calendar(frozenset(days.get("rest", ())), frozenset(days.get("work", ())), days.get("none", False))


def time_of(example: dict[str, Any], key: str) -> dt.datetime | None:
    """Return the time under this key, or None."""
    return dt.datetime.fromisoformat(example[key]) if key in example else None
