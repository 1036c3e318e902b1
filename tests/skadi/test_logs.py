"""The real agent sends the log of its commands, in time and without secrets."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.skadi.fake_server import FakeServer
from tests.skadi.support import TOKEN, AgentProcess, wait_until

Make = Callable[..., AgentProcess]
SECRET = "swordfish-12345"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


def waiting_for(path: Path, *commands: str) -> str:
    """Return an entry that prints, waits for a file, and prints the rest."""
    first, *rest = commands
    script = "; ".join([first, f"while ! [ -e {path} ]; do sleep 0.05; done", *rest])
    return f"shortcuts:\n  - short: talk\n    env: {{DB_PASSWORD: {SECRET}}}\n    cmd: |\n      {script}\n"


def test_the_log_comes_while_the_command_runs_and_its_rest_after_the_result(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    agent = make_agent(waiting_for(go, 'echo "first $DB_PASSWORD"', "seq 1 9", "printf end; exit 3")).start()
    job = server.add("talk")
    wait_until(lambda: server.logs.get(job) == b"first ***\n")
    assert job not in server.reports
    go.touch()
    wait_until(lambda: server.logs[job].endswith(b"end"))
    kind, body = server.reports[job]
    assert (kind, body["exit_code"]) == ("fail", 3)
    assert body["result"] == "run command failed, exit status 3 : " + server.logs[job].decode()
    assert body["log_size"] == len(server.logs[job])
    delivered_at = next(at for at, reported, _ in server.attempts if reported == job)
    assert server.log_times[-1][0] >= delivered_at
    for path in (agent.job_dir(job) / "report.json", agent.errors):
        assert SECRET not in path.read_text()
    wait_until(lambda: not (agent.job_dir(job) / "log.json").exists())


def test_the_log_goes_on_after_a_kill_of_the_agent(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    go = tmp_path / "go"
    agent = make_agent(waiting_for(go, "echo before", "echo after")).start()
    job = server.add("talk")
    wait_until(lambda: server.logs.get(job) == b"before\n")
    agent.signal(signal.SIGKILL)
    agent.wait()
    go.touch()
    wait_until(lambda: (agent.job_dir(job) / "exit.json").exists())
    agent.start()
    wait_until(lambda: server.logs[job] == b"before\nafter\n")
    assert server.reports[job][1]["log_size"] == len(b"before\nafter\n")


def test_an_agent_that_stops_sends_the_rest_first(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    agent = make_agent(waiting_for(tmp_path / "never", "echo so far; printf half")).start()
    job = server.add("talk")
    wait_until(lambda: server.logs.get(job))
    agent.signal(signal.SIGTERM)
    wait_until(lambda: "agent stopping" in agent.log())
    agent.signal(signal.SIGTERM)
    agent.wait(15)
    assert server.logs[job] == b"so far\nhalf"


def test_the_token_is_hidden_in_an_answer_too(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("").start(env={"BACKUP_KEY": SECRET})
    job = server.add(f"nothing like {TOKEN} or {SECRET}")
    _, body = wait_until(lambda: server.reports.get(job))
    assert body["result"] == "unsupported command: nothing like *** or ***"
    assert job not in server.logs
    assert TOKEN not in json.dumps(body) + agent.log()


def test_a_server_of_before_gets_no_log(make_agent: Make) -> None:
    old = FakeServer(hold=True)
    try:
        make_agent("shortcuts:\n  - {short: say, cmd: echo said}\n", server=old.url).start()
        job = old.add("say")
        _, body = wait_until(lambda: old.reports.get(job))
        assert body["result"] == "said\n"
        assert "log_size" not in body
        assert not old.logs
    finally:
        old.stop()
