"""Pace: how many messages a robot or a bot may send in any stretch of time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from kernel.rows import ensure_row
from notifications.drivers.base import Rate
from notifications.models import PaceMeter


def take_turn(key: str, rates: Sequence[Rate], *, now: dt.datetime) -> dt.datetime | None:
    """Record a use of `key` and return None, or return the earliest time at which `rates` allow one.

    The row is locked, so that concurrent callers keep the rates together.
    """
    if not rates:
        return None
    ensure_row(PaceMeter(key=key), "key")
    meter = PaceMeter.objects.select_for_update().get(key=key)
    seconds = now.timestamp()
    longest = max(rate.seconds for rate in rates)
    # A clock that was set back leaves uses in the future; they count as of now, or the channel would wait until then.
    times = [min(at, seconds) for at in meter.times if at > seconds - longest]
    free_at = max(_free_at(times, rate) for rate in rates)
    if free_at > seconds:
        if max(meter.times) > seconds:
            meter.times = times
            meter.save(update_fields=["times"])
        return dt.datetime.fromtimestamp(free_at, dt.UTC)
    meter.times = [*times, seconds]
    meter.save(update_fields=["times"])
    return None


def recent_uses(key: str) -> list[float]:
    """Return when `key` was used, oldest first, in seconds since 1970, as far back as its longest rate counts."""
    meter = PaceMeter.objects.filter(key=key).first()
    return meter.times if meter else []


def _free_at(times: Sequence[float], rate: Rate) -> float:
    """Return when `rate` allows one more use: when the n-th last one leaves the stretch."""
    return times[-rate.number] + rate.seconds if len(times) >= rate.number else 0.0
