"""Signals: an idle agent exits at once, a busy one lets its job end, a second signal ends the job, HUP reloads."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, alive, wait_until

Make = Callable[..., AgentProcess]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_is_gone_within_a_second(server: FakeServer, make_agent: Make, number: int) -> None:
    agent = make_agent("").start()
    wait_until(lambda: server.waiting == 1)
    began = time.monotonic()
    agent.signal(number)
    assert agent.wait() == 0
    assert time.monotonic() - began < 1


def test_an_agent_whose_server_is_gone_stops_as_fast(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("", server="http://127.0.0.1:9").start()
    wait_until(lambda: agent.log().count("server not reached") >= 2)
    began = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert time.monotonic() - began < 1


def test_a_running_job_may_end_and_is_reported(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: nap, cmd: 'sleep 0.5; echo rested'}\n").start()
    job = server.add("nap")
    wait_until(lambda: agent.job_dir(job).joinpath("started").exists())
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert server.reports[job][0] == "succeed"
    assert server.reports[job][1]["result"] == "rested\n"


@pytest.mark.parametrize("second", [True, False])
def test_a_job_is_ended_by_a_second_signal_or_after_stop_timeout(
    server: FakeServer, make_agent: Make, tmp_path: Path, second: bool
) -> None:
    pids = tmp_path / "pids"
    agent = make_agent(
        f"shortcuts:\n  - {{short: stay, cmd: 'echo said; echo $$ > {pids}; sleep 100'}}\n",
        top="" if second else "stop_timeout: 500ms\n",
    ).start()
    job = server.add("stay")
    command = int(wait_until(lambda: pids.exists() and pids.read_text()))
    began = time.monotonic()
    agent.signal(signal.SIGTERM)
    if second:
        wait_until(lambda: "agent stopping" in agent.log())
        agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    assert time.monotonic() - began < 4
    kind, body = server.reports[job]
    assert (kind, body["reason"]) == ("fail", "interrupted")
    assert body["result"] == "run command failed, interrupted because the agent was stopped : said\n"
    assert not alive(command)


def test_hup_reloads_and_a_bad_file_changes_nothing(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: a, cmd: echo old}\n").start()
    wait_until(lambda: server.waiting == 1)
    text = agent.config.read_text()
    agent.write(text.replace("echo old", "echo new"))
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.log().count("agent started") == 2)
    job = server.add("a")
    assert wait_until(lambda: server.reports.get(job))[1]["result"] == "new\n"
    agent.write("a: &x 1\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "the old one stays" in agent.log())
    job = server.add("a")
    assert wait_until(lambda: server.reports.get(job))[1]["result"] == "new\n"


def test_hup_moves_to_another_server(server: FakeServer, make_agent: Make) -> None:
    other = FakeServer(hold=True)
    try:
        agent = make_agent("").start()
        wait_until(lambda: server.waiting == 1)
        agent.write(agent.config.read_text().replace(server.url, other.url))
        agent.signal(signal.SIGHUP)
        job = other.add("help")
        wait_until(lambda: job in other.reports)
    finally:
        other.stop()


def test_logs_show_the_message_only_on_request(server: FakeServer, make_agent: Make) -> None:
    quiet = make_agent("").start(env={"JOURNAL_STREAM": "8:1"})
    job = server.add("help")
    wait_until(lambda: job in server.reports)
    assert quiet.log().splitlines()[0].startswith("<6>INFO agent started")
    assert "text=" not in quiet.log()
    quiet.signal(signal.SIGTERM)
    quiet.wait()
    make_agent("", top="log_messages: true\n").start()
    loud = make_agent("", top="log_messages: true\n")
    loud.start()
    jobs = [server.add("secret words") for _ in range(4)]
    wait_until(lambda: all(job in server.reports for job in jobs))
    assert "text=secret words" in loud.log() or len(server.taken) == 5
