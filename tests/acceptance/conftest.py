"""The whole product, started as people start it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lanes.lane import Lane
from tests.up.instance import Instance

LEASE_SECONDS = 3


@pytest.fixture(scope="session")
def data_folder(lane: Lane, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Make a data folder whose database is migrated already."""

    def make() -> Path:
        data = tmp_path_factory.mktemp("product") / "data"
        data.mkdir(mode=0o700)
        lane.migrated_database("product", data=data)
        return data

    return make


@pytest.fixture(scope="package")
def product(data_folder: Callable[[], Path]) -> Iterator[Instance]:
    """Everything that `make up` starts, for all tests that can share it.

    Its clocks are scaled down: leases of 4 s for old agents and of 3 s for those that beat, offline after 3 s.
    """
    instance = Instance(
        data_folder(),
        LETSERVER_LEASE_SECONDS="4",
        LETSERVER_BEAT_LEASE_SECONDS=str(LEASE_SECONDS),
        LETSERVER_ACK_SECONDS="3",
        LETSERVER_OFFLINE_SECONDS="3",
    )
    try:
        yield instance.wait_until_ready()
    finally:
        instance.end()
