"""One simulator for all tests of it, new inside for each."""

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
    """The process without a past."""
    simulator.reset()
    return simulator


@pytest.fixture
def callee() -> Iterator[Callee]:
    """A program that stands where the product would, and answers as the test says."""
    with Callee.listening() as callee:
        yield callee
