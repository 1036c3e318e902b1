"""A fake server and real agents for each test. The fixtures stop them, also after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True)
    yield fake
    fake.stop()


@pytest.fixture
def make_agent(tmp_path: Path, server: FakeServer) -> Iterator[Callable[..., AgentProcess]]:
    """Return a function that creates agents for `server`. The test starts them."""
    made: list[AgentProcess] = []

    def make(*args: Any, **kwargs: Any) -> AgentProcess:
        home = tmp_path / f"agent{len(made)}"
        home.mkdir(mode=0o700)
        agent = AgentProcess(home, kwargs.pop("server", server.url), *args, **kwargs)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.stop()
