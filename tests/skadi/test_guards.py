"""An unexpected error in one job, request or reload does not end a thread or the agent. A dead thread starts again.

The errors come from outside of our code: from a server that sends invalid text, from damaged files, and from the
standard library's HTTP client, which raises an unusual error for chosen paths.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
QUICK = (
    "pace.FIRST_RETRY = 0.05\nfrom skadi import agent, logpump\nagent.TICK_SECONDS = 0.1\nlogpump.CHUNK_SECONDS = 0.1\n"
)
RAISE = """
import http.client, re
send = http.client.HTTPConnection.request
left = [{times}]
def failing(self, method, path, *arguments, **named):
    if left[0] and re.search({path!r}, path):
        left[0] -= 1
        raise {error}("provoked")
    return send(self, method, path, *arguments, **named)
http.client.HTTPConnection.request = failing
"""
SLOW = "shortcuts:\n  - {short: slow, cmd: 'echo begin; sleep 1; echo end'}\n"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/agent/whoami", "poll failed, polling goes on"),
        ("/agent/job$|/agent/job[?]", "poll failed, polling goes on"),
        ("/agent/beat", "beat failed, beats go on"),
        ("/log[?]", "log cannot be sent"),
        ("/succeed$", "report cannot be sent"),
    ],
)
def test_unexpected_errors_of_requests_end_no_thread(
    server: FakeServer, make_agent: Make, path: str, logged: str
) -> None:
    agent = make_agent(SLOW).start(constants=QUICK + RAISE.format(times=3, path=path, error="RuntimeError"))
    job = server.add("slow", "the-job")
    kind, body = wait_until(lambda: server.reports.get(job), 20, "the report")
    assert (kind, body["result"]) == ("succeed", "begin\nend\n")
    wait_until(lambda: bytes(server.logs.get(job, b"")) == b"begin\nend\n", what="the log")
    lines = [line for line in agent.log().splitlines() if logged in line]
    assert len(lines) == 3
    assert all("RuntimeError: provoked" in line for line in lines)
    if "job" not in path and "whoami" not in path:
        assert all("the-job" in line for line in lines)
    assert "has died" not in agent.log()


def test_an_unexpected_error_in_one_job_is_its_report_and_the_next_job_runs(
    server: FakeServer, make_agent: Make
) -> None:
    agent = make_agent(SLOW).start(constants=QUICK + RAISE.format(times=3, path="/running$", error="RuntimeError"))
    for number in range(3):
        server.add("slow", f"job{number}")
        wait_until(lambda: len(server.reports) == number + 1)  # noqa: B023  (called at once)
        kind, body = server.reports[f"job{number}"]
        assert kind == "fail"
        assert "fault of the agent: RuntimeError" in body["result"]
        assert "job failed in the agent" in agent.log()
        assert f"job=job{number}" in agent.log()
    last = server.add("help")
    assert wait_until(lambda: server.reports.get(last))[0] == "succeed"


@pytest.mark.parametrize("protocol", [1, 2])
def test_jobs_whose_text_is_no_unicode_do_not_stop_the_agent(make_agent: Make, protocol: int) -> None:
    server = FakeServer(hold=True, protocol=protocol)

    def half_a_character(handler: Handler) -> None:
        number = len(server.polls)
        body = {"id": f"bad{number}", "message": "\ud800", "attempt": 1}
        handler.answer(200, body if protocol == 1 else {**body, "offer": 1, "lease_s": 6, "ack_s": 6})

    server.poll_replies.extend([half_a_character] * 3)
    try:
        agent = make_agent("", server=server.url).start(constants=QUICK)
        good = server.add("help")
        assert wait_until(lambda: server.reports.get(good))[0] == "succeed"
        for number in (1, 2, 3):
            if protocol == 1:
                kind, body = wait_until(lambda: server.reports.get(f"bad{number}"))  # noqa: B023  (called at once)
                assert (kind, body["result"]) == ("fail", "unsupported command: its words cannot be read")
            else:  # the server does not know the job, so the agent drops it
                assert f"job dropped job=bad{number}" in agent.log()
        assert list((agent.state / "jobs").glob(".*")) == []
        assert "Traceback" not in agent.log()
    finally:
        server.stop()


def test_a_folder_that_cannot_be_taken_up_does_not_keep_the_agent_from_its_work(
    server: FakeServer, make_agent: Make
) -> None:
    agent = make_agent("")
    folder = agent.job_dir("damaged")
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"id": "damaged", "message": "help", "state": "started"}))
    (folder / "started").write_text("1")
    (folder / "exit.json").write_text(json.dumps({"rc": None, "reason": "signal", "signal": 10**30}))
    nested = agent.job_dir("nested")
    nested.mkdir()
    (nested / "job.json").write_text("[" * 100_000)
    (nested / "started").write_text("1")
    agent.start(constants=QUICK)
    job = server.add("help")
    assert wait_until(lambda: server.reports.get(job))[0] == "succeed"
    (line,) = [line for line in agent.log().splitlines() if "job cannot be taken up" in line]
    assert "job=damaged" in line
    assert wait_until(lambda: server.reports.get("nested"))[1]["reason"] == "interrupted"


def test_an_unexpected_error_in_a_reload_keeps_the_old_configuration(server: FakeServer, make_agent: Make) -> None:
    broken = "import difflib\ndef failing(*arguments):\n    raise RuntimeError('provoked')\n"
    agent = make_agent("").start(constants=QUICK + broken + "difflib.get_close_matches = failing\n")
    first = server.add("help")
    wait_until(lambda: first in server.reports)
    agent.write(agent.config.read_text() + "surprise: 1\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: "the main thread failed, it goes on" in agent.log())
    second = server.add("help")
    assert wait_until(lambda: server.reports.get(second))[0] == "succeed"


@pytest.mark.parametrize("path", ["/agent/whoami", "/running$", "/agent/beat", "/log[?]", "/succeed$"])
def test_a_thread_that_died_is_started_again(server: FakeServer, make_agent: Make, path: str) -> None:
    agent = make_agent(SLOW).start(constants=QUICK + RAISE.format(times=1, path=path, error="SystemExit"))
    server.add("slow")
    wait_until(lambda: "has died, starting it again" in agent.log())
    second = server.add("help")
    assert wait_until(lambda: server.reports.get(second), 20)[0] == "succeed"
    assert agent.process is not None
    assert agent.process.poll() is None


def test_two_deaths_within_a_minute_end_the_agent_for_its_supervisor_to_start_it(
    server: FakeServer, make_agent: Make
) -> None:
    agent = make_agent("").start(constants=QUICK + RAISE.format(times=9, path="/agent/whoami", error="SystemExit"))
    assert agent.wait() == 1
    assert "threads keep dying, the agent gives up" in agent.log()


def test_a_report_after_the_death_of_the_reporter_is_sent_by_the_next_start(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    dies = RAISE.format(times=9, path="/succeed$", error="SystemExit")
    agent = make_agent("").start(constants=QUICK + dies)
    job = server.add("help", "the-job")
    wait_until(lambda: "has died, starting it again" in agent.log())
    agent.signal(signal.SIGKILL)
    agent.wait()
    agent.start(constants=QUICK)
    assert wait_until(lambda: server.reports.get(job))[0] == "succeed"
