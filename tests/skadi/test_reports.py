"""Reports are retried until the server takes them, also after a kill -9; no id runs twice."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skadi import reporter
from tests.skadi.fake_server import FakeServer, Handler, answer_of
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.02"
SLOW_DISK = """
import time
from skadi.journal import Journal
def slow(journal, job_id, status, noted=Journal.mark_delivered):
    noted(journal, job_id, status)
    time.sleep(1)
Journal.mark_delivered = slow
"""


def delivered(agent: AgentProcess, job: str) -> dict[str, Any]:
    path = agent.job_dir(job) / "delivered.json"
    wait_until(path.exists, 10, f"delivery of {job}")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def counting(tmp_path: Path) -> str:
    return f"shortcuts:\n  - {{short: count, cmd: 'echo ran >> {tmp_path / 'runs'}; echo done'}}\n"


def runs(tmp_path: Path) -> int:
    path = tmp_path / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_report_is_repeated_until_it_is_taken(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.report_replies.extend(
        [503, 500, Handler.cut, 429, 408, 302, lambda handler: handler.raw(b"nonsense\r\n\r\n")]
    )
    agent = make_agent(counting(tmp_path)).start(constants=QUICK)
    job = server.add("count")
    kind, body = wait_until(lambda: server.reports.get(job), 20)
    assert (kind, body["result"]) == ("succeed", "done\n")
    assert len(server.attempts) == 8
    assert delivered(agent, job)["status"] == 204
    assert runs(tmp_path) == 1


def test_retry_after_is_obeyed(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.report_replies.append((503, {"Retry-After": "1"}))
    make_agent(counting(tmp_path)).start(constants=QUICK)
    job = server.add("count")
    wait_until(lambda: job in server.reports, 10)
    assert server.attempts[1][0] - server.attempts[0][0] >= 1


@pytest.mark.parametrize(
    "name", ["a second end of the same job", "running after the end", "a report on a job that is not there"]
)
def test_final_answers_end_the_repeating(server: FakeServer, make_agent: Make, tmp_path: Path, name: str) -> None:
    status, body = answer_of(name)
    server.report_replies.append(lambda handler: handler.answer(status, body))
    agent = make_agent(counting(tmp_path)).start(constants=QUICK)
    job = server.add("count")
    assert delivered(agent, job)["status"] == status
    other = server.add("count")
    wait_until(lambda: other in server.reports)
    assert len(server.attempts) == 2


def test_a_report_that_the_server_chokes_on_delays_no_other(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.report_replies.append((503, {"Retry-After": "600"}))
    make_agent(counting(tmp_path)).start()
    first = server.add("count")
    wait_until(lambda: server.attempts)
    second = server.add("count")
    wait_until(lambda: second in server.reports)
    assert first not in server.reports


def test_401_on_a_report_keeps_it(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.report_replies.append(lambda handler: handler.answer(*answer_of("an unknown token")))
    make_agent(counting(tmp_path)).start(constants="pace.REFUSED_RETRY = 0.3")
    job = server.add("count")
    wait_until(lambda: job in server.reports)
    assert len(server.attempts) == 2


def test_kill_9_leaves_the_report_which_is_sent_by_the_next_start(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.report_replies.extend([503] * 100)
    agent = make_agent(counting(tmp_path)).start()
    job = server.add("count")
    wait_until(lambda: server.attempts)
    agent.signal(9)
    agent.wait()
    server.report_replies.clear()
    agent.start()
    kind, body = wait_until(lambda: server.reports.get(job))
    assert (kind, body["result"]) == ("succeed", "done\n")
    delivered(agent, job)
    # The same id again: nothing runs, and its stored report is sent again.
    before = len(server.attempts)
    server.add("count", job)
    wait_until(lambda: len(server.attempts) > before)
    assert runs(tmp_path) == 1


def test_a_job_that_comes_again_while_its_delivery_is_noted_is_answered_too(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(counting(tmp_path)).start(constants=SLOW_DISK)
    job = server.add("count")
    delivered(agent, job)
    server.add("count", job)
    wait_until(lambda: len(server.attempts) == 2)
    assert runs(tmp_path) == 1


def test_what_a_restored_server_hands_out_again_is_answered_at_once(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    """A pause that doubled after each of the twelve repeated jobs would be an hour."""
    agent = make_agent(counting(tmp_path)).start()
    jobs = [server.add("count") for _ in range(12)]
    for job in jobs:
        delivered(agent, job)
    before = len(server.attempts)
    for job in jobs:
        server.add("count", job)
    fresh = server.add("count")
    wait_until(lambda: fresh in server.reports)
    wait_until(lambda: len(server.attempts) == before + 13)
    assert runs(tmp_path) == 13


def test_a_command_that_outlived_its_agent_is_reported_by_the_next(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(
        f"shortcuts:\n  - {{short: count, cmd: 'echo ran >> {tmp_path / 'runs'}; sleep 1; echo survived; exit 7'}}\n"
    ).start()
    job = server.add("count")
    wait_until(lambda: runs(tmp_path))
    agent.signal(9)
    agent.wait()
    agent.start()
    kind, body = wait_until(lambda: server.reports.get(job))
    assert (kind, body["exit_code"]) == ("fail", 7)
    assert body["result"] == "run command failed, exit status 7 : survived\n"
    assert runs(tmp_path) == 1


def test_a_folder_without_an_end_is_reported_as_interrupted(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(counting(tmp_path))
    half = agent.job_dir("half-done")
    half.mkdir(parents=True)
    (half / "job.json").write_text('{"id": "half-done", "timeout": 5}')
    (half / "out.log").write_text("so far\n")
    agent.job_dir("empty").mkdir()
    (agent.state / "jobs" / "not a job").mkdir()
    agent.start()
    for job, output in (("half-done", "so far\n"), ("empty", "")):
        kind, body = wait_until(lambda job=job: server.reports.get(job))
        assert (kind, body["reason"]) == ("fail", "interrupted")
        assert body["result"].endswith(f": {output}")


def test_a_long_job_shows_signs_of_life(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: nap, cmd: sleep 1.2}\n").start(constants="reporter.RUNNING_EVERY = 0.2")
    job = server.add("nap")
    wait_until(lambda: job in server.reports)
    count = len(server.signs)
    assert count >= 3
    assert set(server.signs) == {job}
    next_job = server.add("help")
    wait_until(lambda: next_job in server.reports)
    assert len(server.signs) == count
    assert "Traceback" not in agent.log()


def test_while_a_job_runs_no_other_is_claimed(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: nap, cmd: sleep 1}\n").start()
    first, second = server.add("nap"), server.add("help")
    wait_until(lambda: len(server.taken) == 2)
    assert agent.job_dir(first).joinpath("exit.json").exists()
    wait_until(lambda: second in server.reports)
    assert list(server.reports) == [first, second]


def test_signs_of_life_end_when_the_server_does_not_know_the_job(server: FakeServer, make_agent: Make) -> None:
    server.running_reply = answer_of("running after the end")
    make_agent("shortcuts:\n  - {short: nap, cmd: sleep 0.6}\n").start(constants="reporter.RUNNING_EVERY = 0.2")
    job = server.add("nap")
    wait_until(lambda: job in server.reports)
    assert server.signs == [job]


def test_delivered_folders_are_removed_but_the_last(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("").start(constants="import skadi.journal; skadi.journal.KEEP_DELIVERED = 3")
    jobs = [server.add("help") for _ in range(8)]
    wait_until(lambda: len(server.reports) == 8)
    wait_until(lambda: {path.name for path in (agent.state / "jobs").iterdir()} == set(jobs[-3:]))
    assert (agent.state / "jobs").stat().st_mode & 0o777 == 0o700


def test_two_agents_do_not_share_a_state_folder(server: FakeServer, make_agent: Make) -> None:
    first = make_agent().start()
    wait_until(lambda: server.polls)
    second = make_agent()
    second.state = first.state
    second.start()
    assert second.wait() == 1
    assert "another agent uses the state folder" in second.log()


def test_the_time_of_a_job_is_short(server: FakeServer, make_agent: Make) -> None:
    make_agent("shortcuts:\n  - {short: ok, cmd: 'true'}\n").start()
    wait_until(lambda: server.waiting)
    began = time.monotonic()
    job = server.add("ok")
    wait_until(lambda: job in server.reports)
    assert time.monotonic() - began < 1.5


def rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) / 1024


def test_the_texts_of_waiting_reports_are_on_disk(server: FakeServer, make_agent: Make) -> None:
    server.report_replies.extend([503] * 100_000)
    agent = make_agent("shortcuts:\n  - {short: big, cmd: 'head -c 1000000 /dev/zero | tr \"\\\\0\" x'}\n").start()

    def waiting() -> list[Path]:
        return [path for path in agent.state.glob("jobs/*/report.json") if path.stat().st_size > 1_000_000]

    for number in range(4):
        server.add("big", f"first{number}")
    wait_until(lambda: len(waiting()) == 4, 20)
    before = rss_mb(agent.pid)
    for number in range(16):
        server.add("big", f"more{number}")
    wait_until(lambda: len(waiting()) == 20, 40)
    assert rss_mb(agent.pid) - before < 8  # the texts have 16 MB
    server.report_replies.clear()
    agent.signal(signal.SIGTERM)  # each report gets one more attempt
    assert agent.wait(20) == 0
    wait_until(lambda: len(server.reports) >= 1)
    assert {body["result"] for _, body in server.reports.values()} == {"x" * 1_000_000}


def test_no_jobs_are_taken_while_too_many_reports_wait(server: FakeServer, make_agent: Make) -> None:
    server.report_replies.extend([503] * 100_000)
    quick = "reporter.MOST_WAITING = 3\npoller.ROOM_LOOK_SECONDS = 0.05\npace.LONGEST_REPORT_RETRY = 0.2\n"
    agent = make_agent("").start(constants=QUICK + "\n" + quick)
    jobs = [server.add("help") for _ in range(8)]
    wait_until(lambda: "too many reports wait" in agent.log())
    assert len(server.taken) < 6
    server.report_replies.clear()
    wait_until(lambda: set(jobs) <= set(server.reports), 20)
    assert agent.log().count("too many reports wait") <= 8
    assert "the server takes reports again" in agent.log()


def test_a_report_whose_text_was_dropped_is_still_delivered(server: FakeServer, make_agent: Make) -> None:
    server.report_replies.extend([503] * 2)
    agent = make_agent("").start(constants="pace.back_off = lambda failures, most: 0.5")
    job = server.add("help")
    path = agent.job_dir(job) / "report.json"
    wait_until(lambda: server.attempts)
    path.unlink()
    kind, body = wait_until(lambda: server.reports.get(job))
    assert (kind, body["result"]) == ("succeed", reporter.DROPPED)
