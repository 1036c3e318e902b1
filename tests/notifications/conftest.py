"""The platforms' stand-in, and channels that lead to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.models import User
from devtools.simulator.client import Simulator
from notifications.channels.service import create_channel
from notifications.models import Channel, Level

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def started_simulator() -> Iterator[Simulator]:
    """One process for the session."""
    with Simulator.start(seed=11) as sim:
        yield sim


@pytest.fixture
def sim(started_simulator: Simulator, settings: Any) -> Simulator:
    """The platforms as after a reset, with this process's settings leading to them."""
    started_simulator.control("POST", "reset")
    for name, value in started_simulator.settings().items():
        short = name.removeprefix("LETSERVER_")
        if short.endswith("_BASE"):
            setattr(settings, short, value)
    return started_simulator


Robot = Callable[..., Channel]


@pytest.fixture
def robot(sim: Simulator) -> Robot:
    """Make a WeCom robot at the stand-in and a channel of the user that leads to it."""

    def make(user: User, name: str = "", **values: Any) -> Channel:
        number = next(_numbers)
        key = f"robot-{number:08d}"
        sim.robot("wecom", key, **values)
        return create_channel(
            owner_id=user.pk,
            name=name or f"robot {number}",
            driver="wecom_robot",
            settings={"key": key},
            levels=Level.values,
            actor="test",
        )

    return make
