"""One simulator process for all tests, reset for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devtools.simulator.client import Simulator
from tests.simulators.callee import Callee


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The process."""
    with Simulator.start(seed=4) as simulator:
        yield simulator


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    """The process, reset."""
    simulator.reset()
    return simulator


@pytest.fixture
def callee() -> Iterator[Callee]:
    """A receiver in place of the product that answers as the test sets."""
    with Callee.listening() as callee:
        yield callee
