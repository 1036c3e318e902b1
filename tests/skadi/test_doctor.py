"""`skadi doctor` says whether an agent could work here, and how to solve each problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from skadi.cli import main
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import TOKEN, AgentProcess

Make = Callable[..., AgentProcess]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


@pytest.fixture
def doctor(
    make_agent: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    """Run the doctor for an agent that is not started. Return the exit code and the output."""

    def ask(entries: str = "shortcuts:\n  - {short: a, cmd: echo a}\n", **more: str) -> tuple[int, str]:
        agent = make_agent(entries, **more)
        agent.state.mkdir()
        monkeypatch.setenv("SKADI_STATE_DIR", str(agent.state))
        code = main(["--config", str(agent.config), "doctor"])
        printed = capsys.readouterr().out
        assert TOKEN not in printed
        return code, printed

    return ask


def test_all_is_fine(doctor: Callable[..., tuple[int, str]], server: FakeServer) -> None:
    code, printed = doctor()
    assert code == 0, printed
    assert [line.partition(":")[0] for line in printed.splitlines()] == ["ok"] * 3
    assert f"{server.url} knows this agent as bar (owner alice), protocol 2" in printed
    assert server.polls == []


def test_an_unknown_token(doctor: Callable[..., tuple[int, str]], server: FakeServer) -> None:
    server.token = "b" * 20
    code, printed = doctor()
    assert code == 2
    assert f"error: {server.url} does not know the token: make a new one" in printed


def test_no_network(doctor: Callable[..., tuple[int, str]]) -> None:
    code, printed = doctor(server="http://127.0.0.1:9")
    assert code == 2
    assert "error: http://127.0.0.1:9 is not reached (ConnectionRefusedError" in printed


def test_an_old_server_and_an_entry_that_never_runs_are_warnings(
    doctor: Callable[..., tuple[int, str]], server: FakeServer
) -> None:
    server.protocol = 1
    code, printed = doctor("shortcuts:\n  - {short: a, cmd: echo a, confirm: totp}\n")
    assert code == 1
    assert "shortcut a never runs: " in printed
    assert "is too old to say" in printed


def test_no_room(doctor: Callable[..., tuple[int, str]], server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKADI_MIN_FREE_MB", "999999999")
    code, printed = doctor()
    assert code == 2
    assert "MB free: make room, or name another with `state_dir:`" in printed
