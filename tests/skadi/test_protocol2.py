"""Acknowledgements, offers, leases and cancels of protocol 2, and servers that have none of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, alive, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.05\n"
STUBBORN = """\
trap '' TERM
setsid sh -c 'trap "" TERM; echo $$ >> {pids}; while :; do sleep 1; done' >/dev/null 2>&1 &
echo $$ >> {pids}
echo started
while :; do sleep 1; done
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


def staying(tmp_path: Path, command: str = "echo said; echo $$ >> {pids}; sleep 100", more: str = "") -> str:
    return "shortcuts:\n  - {{short: stay, cmd: '{}'{}}}\n".format(
        command.format(pids=tmp_path / "pids"), f", {more}" if more else ""
    )


def pids_of(tmp_path: Path, count: int = 1) -> list[int]:
    path = tmp_path / "pids"
    return wait_until(
        lambda: (
            [int(word) for word in path.read_text().split()]
            if path.exists() and len(path.read_text().split()) >= count
            else []
        )
    )


def test_every_request_says_which_protocol_it_speaks(server: FakeServer, make_agent: Make) -> None:
    make_agent("").start()
    job = server.add("help")
    wait_until(lambda: job in server.reports)
    assert {headers["Skadi-Protocol"] for _, _, headers in server.polls} == {"2"}


def test_a_job_is_acknowledged_before_it_starts(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    def look(handler: Handler) -> None:
        states.append(json.loads((agent.job_dir("one") / "job.json").read_text())["state"])
        started.append((tmp_path / "pids").exists())
        handler.answer(503)

    states: list[str] = []
    started: list[bool] = []
    agent = make_agent(staying(tmp_path, "echo $$ >> {pids}"))
    server.ack_replies.extend([look, look])
    agent.start(constants=QUICK)
    server.add("stay", "one")
    assert wait_until(lambda: server.reports.get("one"))[0] == "succeed"
    assert (states, started) == (["received"] * 2, [False] * 2)
    assert [status for _, _, _, status in server.acks] == [204]


def test_an_acknowledgement_that_comes_too_late_runs_at_the_next_offer(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    def late(handler: Handler) -> None:
        server.withdraw("one")
        handler.cut()

    server.ack_replies.append(late)
    make_agent(staying(tmp_path, "echo $$ >> {pids}")).start(constants=QUICK)
    server.add("stay", "one")
    assert wait_until(lambda: server.reports.get("one"))[1]["offer"] == 2
    assert [(offer, status) for _, _, offer, status in server.acks] == [(1, 409), (2, 204)]
    assert len(pids_of(tmp_path)) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(409, "JobCanceled"), (409, "JobTaken"), (404, "X"), (400, "JobFinished")]
)
def test_a_job_that_is_not_ours_any_more_is_dropped_unstarted(
    server: FakeServer, make_agent: Make, tmp_path: Path, status: int, code: str
) -> None:
    server.ack_replies.append(lambda handler: handler.answer(status, {"error": code, "message": ""}))
    agent = make_agent(staying(tmp_path)).start()
    job = server.add("stay")
    other = server.add("help")
    wait_until(lambda: other in server.reports)
    assert not agent.job_dir(job).exists()
    assert job not in server.reports
    assert not (tmp_path / "pids").exists()


def test_leases_are_renewed_while_a_job_runs_and_no_longer(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.lease_s = 3.0
    make_agent(staying(tmp_path, "sleep 3.5")).start()
    job = server.add("stay")
    wait_until(lambda: job in server.reports)
    times = [moment for moment, running in server.beats if running == [{"id": job, "attempt": 1}]]
    assert len(times) >= 3
    assert max(after - before for before, after in itertools.pairwise(times)) < server.lease_s / 2
    count = len(server.beats)
    other = server.add("help")
    wait_until(lambda: other in server.reports)
    assert len(server.beats) <= count + 2


def test_a_beat_that_fails_is_repeated_within_the_lease(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.beat_replies.extend([503, Handler.cut, 502, lambda handler: handler.raw(b"nonsense\r\n\r\n")])
    make_agent(staying(tmp_path, "sleep 2")).start(constants=QUICK)
    job = server.add("stay")
    wait_until(lambda: server.beats, 6)
    assert not server.beat_replies
    wait_until(lambda: job in server.reports)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_cancel_ends_the_whole_tree_and_is_told_from_a_stop(
    server: FakeServer, make_agent: Make, tmp_path: Path, restarted: bool
) -> None:
    script = tmp_path / "stubborn.sh"
    script.write_text(STUBBORN.format(pids=tmp_path / "pids"))
    agent = make_agent(staying(tmp_path, f"sh {script}", "kill_after: 300ms")).start(constants=QUICK)
    job = server.add("stay")
    found = pids_of(tmp_path, 2)
    if restarted:
        agent.signal(9)
        agent.wait()
        agent.start(constants=QUICK)
    wait_until(lambda: server.beats)
    began = time.monotonic()
    server.cancel(job)
    kind, body = wait_until(lambda: server.reports.get(job), 15)
    assert time.monotonic() - began < 6
    assert (kind, body["reason"]) == ("fail", "canceled")
    assert body["result"] == "run command failed, canceled by its owner : started\n"
    assert [pid for pid in found if alive(pid)] == []
    assert json.loads((agent.job_dir(job) / "exit.json").read_text())["reason"] == "canceled"
    other = server.add("help")
    wait_until(lambda: other in server.reports)


def test_a_sign_of_life_may_bring_the_cancel(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    server.beat_replies.extend([503] * 1000)
    make_agent(staying(tmp_path)).start(constants="reporter.RUNNING_EVERY = 0.2")
    job = server.add("stay")
    pids_of(tmp_path)
    server.cancel(job)
    assert wait_until(lambda: server.reports.get(job))[1]["reason"] == "canceled"


def test_a_cancel_is_for_one_job_only(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    make_agent(staying(tmp_path)).start()
    first = server.add("stay")
    pids_of(tmp_path)
    server.cancel(first)
    second = server.add("help")
    wait_until(lambda: second in server.reports)
    assert [server.reports[job][0] for job in (first, second)] == ["fail", "succeed"]


def test_a_second_job_is_heard_of_while_the_beat_of_the_first_is_held(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.lease_s = 90.0
    make_agent(staying(tmp_path) + "  - {short: nap, cmd: sleep 0.5}\n").start()
    server.add("nap")
    job = server.add("stay")
    pids_of(tmp_path)
    server.cancel(job)
    assert wait_until(lambda: server.reports.get(job), 8)[1]["reason"] == "canceled"


def test_an_old_server_gets_no_acknowledgement_and_no_beat(make_agent: Make) -> None:
    old = FakeServer(hold=True)
    try:
        agent = make_agent("shortcuts:\n  - {short: nap, cmd: sleep 0.5}\n", server=old.url)
        agent.start(constants="reporter.RUNNING_EVERY = 0.2")
        job = old.add("nap")
        wait_until(lambda: job in old.reports)
        body = old.reports[job][1]
        assert (old.acks, old.beats) == ([], [])
        assert not {"attempt", "offer", "log_size"} & set(body)
        assert old.signs
    finally:
        old.stop()


def test_a_server_that_went_back_to_protocol_1_keeps_the_job_by_signs_of_life(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    def downgrade(handler: Handler) -> None:
        server.protocol = 1
        handler.answer(404, {"error": "NotFound", "message": ""})

    server.beat_replies.append(downgrade)
    agent = make_agent(staying(tmp_path, "sleep 1")).start(constants="reporter.RUNNING_EVERY = 0.2")
    job = server.add("stay")
    assert wait_until(lambda: server.reports.get(job))[0] == "succeed"
    assert "the server does not support beats" in agent.log()
    assert server.signs
    assert server.beats == []


def test_a_stop_before_the_acknowledgement_starts_nothing_and_the_next_start_does(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    server.ack_replies.extend([503] * 1000)
    agent = make_agent(staying(tmp_path, "echo $$ >> {pids}")).start(constants=QUICK)
    job = server.add("stay")
    wait_until(lambda: "job not acknowledged yet" in agent.log())
    agent.signal(15)
    assert agent.wait(3) == 0
    assert not (tmp_path / "pids").exists()
    server.ack_replies.clear()
    agent.start(constants=QUICK)
    assert wait_until(lambda: server.reports.get(job))[0] == "succeed"
