"""The crash table of docs/agent.md: kill -9 at every step, then a new start: one run, one final report.

The agent kills itself at a step: the function that does the step is wrapped before the program starts.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skadi.done import DoneLog
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, alive, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.05\n"
DIE = """
import os, signal
from skadi import acknowledge, executor, journal, runner
def die_at(place, name, when, wanted=lambda *arguments: True):
    original = getattr(place, name)
    def dying(*arguments, **named):
        here = wanted(*arguments)
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(place, name, dying)
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


def counting(tmp_path: Path, more: str = "") -> str:
    return f"shortcuts:\n  - {{short: count, cmd: 'echo ran >> {tmp_path / 'runs'}; {more} echo done'}}\n"


def runs(tmp_path: Path) -> int:
    path = tmp_path / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def settled(server: FakeServer, agent: AgentProcess, job: str) -> tuple[str, str]:
    """Wait until the report is delivered and stored as delivered. Return its kind and text."""
    kind, body = wait_until(lambda: server.reports.get(job), 15, f"report of {job}\n{agent.log()}")
    done = agent.state / "done.log"
    wait_until(lambda: done.exists() and f" {job}\n" in done.read_text(), what="the id in done.log")
    return kind, body["result"]


STEPS = {
    "before anything is written": 'die_at(journal.Journal, "receive", "before")',
    "the folder is half made": 'die_at(journal.os, "rename", "before", lambda old, new: "/jobs/." in old)',
    "written, not acknowledged": 'die_at(journal.Journal, "receive", "after")',
    "acknowledged, the answer lost": 'die_at(executor, "acknowledge", "after")',
    "acknowledged and noted, not started": (
        'die_at(journal.Journal, "set_state", "after", lambda journal, job, state: state == "acked")'
    ),
    "about to start": 'die_at(runner, "start_shim", "before")',
    "just started": 'die_at(runner, "start_shim", "after")',
    "ended, no report stored": (
        'die_at(journal.Journal, "write", "before", lambda journal, job, name, content: name == "report.json")'
    ),
    "report stored, not sent": (
        'die_at(journal.Journal, "write", "after", lambda journal, job, name, content: name == "report.json")'
    ),
    "report taken, not noted": 'die_at(journal.Journal, "mark_delivered", "before")',
    "noted in done.log only": (
        'die_at(journal.Journal, "write", "before", lambda journal, job, name, content: name == "delivered.json")'
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_at_every_step_leaves_one_run_and_one_report(
    server: FakeServer, make_agent: Make, tmp_path: Path, step: str
) -> None:
    agent = make_agent(counting(tmp_path)).start(constants=QUICK + DIE + STEPS[step])
    job = server.add("count")
    assert agent.wait(20) == -signal.SIGKILL
    if not agent.job_dir(job).exists():
        server.withdraw(job)
    agent.start(constants=QUICK)
    assert settled(server, agent, job) == ("succeed", "done\n")
    assert runs(tmp_path) == 1
    assert {kind for _, one, kind in server.attempts if one == job} == {"succeed"}
    # The same id again: nothing runs, and the stored report is sent again.
    before = len(server.attempts)
    server.add("count", job)
    wait_until(lambda: len(server.attempts) > before or "handed out before" in agent.log())
    other = server.add("count")
    assert settled(server, agent, other)[0] == "succeed"
    assert runs(tmp_path) == 2
    assert "Traceback" not in agent.log()


def test_a_shim_at_work_is_taken_up_again_and_keeps_its_lease(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(counting(tmp_path, f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.05; done;")).start()
    job = server.add("count")
    wait_until(lambda: runs(tmp_path))
    agent.signal(9)
    agent.wait()
    beats = len(server.beats)
    agent.start(constants=QUICK)
    wait_until(lambda: len(server.beats) > beats)
    assert server.beats[-1][1] == [{"id": job, "attempt": 1}]
    (tmp_path / "go").touch()
    assert settled(server, agent, job) == ("succeed", "done\n")
    assert runs(tmp_path) == 1


def test_a_command_that_died_with_its_shim_and_the_agent_is_reported_as_interrupted(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(counting(tmp_path, "echo so far; sleep 100;")).start()
    job = server.add("count")
    wait_until(lambda: runs(tmp_path) and (agent.job_dir(job) / "out.log").read_text())
    shim = int((agent.job_dir(job) / "started").read_text())
    agent.signal(9)
    agent.wait()
    os.kill(shim, 9)
    wait_until(lambda: not alive(shim))
    agent.start(constants=QUICK)
    kind, text = settled(server, agent, job)
    assert kind == "fail"
    assert text.endswith("so far\n")
    assert server.reports[job][1]["reason"] == "interrupted"
    assert runs(tmp_path) == 1


@pytest.mark.parametrize("step", ["written, not acknowledged", "acknowledged and noted, not started"])
def test_what_the_server_gave_up_meanwhile_does_not_run(
    server: FakeServer, make_agent: Make, tmp_path: Path, step: str
) -> None:
    agent = make_agent(counting(tmp_path)).start(constants=QUICK + DIE + STEPS[step])
    job = server.add("count")
    agent.wait()
    server.offered[job].status = "lost"
    agent.start(constants=QUICK)
    wait_until(lambda: not agent.job_dir(job).exists(), what="the dropped folder")
    assert server.acks[-1][3] == 409
    other = server.add("help")
    wait_until(lambda: other in server.reports)
    assert job not in server.reports
    assert runs(tmp_path) == 0


def test_a_cancel_of_an_acknowledged_job_that_never_started_is_reported(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(counting(tmp_path)).start(constants=QUICK + DIE + STEPS["acknowledged and noted, not started"])
    job = server.add("count")
    agent.wait()
    server.cancel(job)
    agent.start(constants=QUICK)
    kind, text = settled(server, agent, job)
    assert (kind, server.reports[job][1]["reason"]) == ("fail", "canceled")
    assert "canceled by its owner" in text
    assert runs(tmp_path) == 0


def test_a_job_written_down_before_the_server_fell_silent_is_asked_about_until_it_answers(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.ack_replies.extend([503, 500, 503, 502, 401])
    agent = make_agent(counting(tmp_path)).start(constants=QUICK)
    job = server.add("count")
    assert settled(server, agent, job) == ("succeed", "done\n")
    assert not server.ack_replies
    assert runs(tmp_path) == 1


def test_random_kills_never_run_an_id_twice(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.ack_s = 0.4
    lines = tmp_path / "ids"
    agent = make_agent(f"shortcuts:\n  - {{short: id, cmd: 'echo $SKADI_JOB_ID >> {lines}; sleep 0.05'}}\n")
    jobs = [server.add("id", f"job-{number}") for number in range(12)]
    stop = threading.Event()
    delays = [0.35, 0.5, 0.42, 0.61, 0.38, 0.55, 0.47, 0.7]
    for delay in delays:
        agent.start(constants=QUICK)
        stop.wait(delay)
        agent.signal(9)
        agent.wait()
    agent.start(constants=QUICK)
    wait_until(lambda: set(jobs) <= set(server.reports), 30, "every report")
    ran = lines.read_text().split()
    assert len(ran) == len(set(ran)), "an id ran twice"
    assert all(kind == "succeed" or body["reason"] == "interrupted" for kind, body in server.reports.values())
    assert {job for job, (kind, _) in server.reports.items() if kind == "succeed"} <= set(ran)


def test_done_log_forgets_after_45_days_and_survives_a_cut_line(tmp_path: Path) -> None:
    now = int(time.time())
    (tmp_path / "done.log").write_text(f"{now - 47 * 86400} old\n{now - 86400} kept\nnonsense\n{now} cu")
    done = DoneLog(str(tmp_path))
    assert "kept" in done
    assert "cu" not in done
    done.add("new")
    assert [line.split()[1] for line in (tmp_path / "done.log").read_text().splitlines()] == ["kept", "new"]
    (tmp_path / "done.log").write_text(f"{now} whole\n{now} cu")
    done = DoneLog(str(tmp_path))
    done.add("next")
    again = DoneLog(str(tmp_path))
    assert {job for job in ("whole", "cu", "next") if job in again} == {"whole", "next"}


def test_the_report_says_which_hand_out_it_is_about(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    agent = make_agent(counting(tmp_path)).start(constants=QUICK)
    job = server.add("count")
    settled(server, agent, job)
    body = server.reports[job][1]
    assert (body["attempt"], body["offer"], body["exit_code"]) == (1, 1, 0)
    assert isinstance(body["log_size"], int)
    assert server.keys[job] == f"{job}:1"
    assert json.loads((agent.job_dir(job) / "job.json").read_text())["state"] == "started"
