"""All drivers, in the order in which pages show them."""

from __future__ import annotations

import functools

from notifications.drivers.base import Driver
from notifications.drivers.webhook import Webhook
from notifications.drivers.wecom_robot import WeComRobot

_DRIVERS: tuple[type[Driver], ...] = (WeComRobot, Webhook)


@functools.cache
def all_drivers() -> dict[str, Driver]:
    """Return every driver by its name."""
    return {driver.name: driver() for driver in _DRIVERS}


def driver_of(name: str) -> Driver:
    """Return one driver. Raises KeyError."""
    return all_drivers()[name]
