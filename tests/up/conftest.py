"""Starts instances of `make up` and ends them after the test, also after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lanes.lane import Lane
from tests.up.instance import Instance

Start = Callable[..., Instance]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start one; all are ended after the test."""
    started: list[Instance] = []

    def run(data: Path, **more: str) -> Instance:
        started.append(Instance(data, **more))  # type: ignore[arg-type]
        return started[-1]

    yield run
    for instance in started:
        instance.end()


@pytest.fixture(scope="module")
def running(lane: Lane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One instance with two web processes, for the tests that leave it as it was. Its database is migrated already."""
    data = tmp_path_factory.mktemp("up") / "data"
    data.mkdir(mode=0o700)
    lane.migrated_database("up", data=data)
    instance = Instance(data, LETSERVER_WEB_PROCESSES="2")
    try:
        yield instance.wait_until_ready()
        assert instance.press_ctrl_c() < 5
    finally:
        instance.end()
