"""No job starts that cannot be stored, and the kept jobs have a limit: output is dropped first, reports last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skadi import spool
from skadi.journal import Journal
from skadi.spool import Spool, free_floor_mb
from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
QUICK = "pace.FIRST_RETRY = 0.05\npoller.ROOM_LOOK_SECONDS = 0.05\n"
EVERYTHING_MB = "999999999"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer(hold=True, protocol=2)
    yield fake
    fake.stop()


def test_no_job_is_taken_with_little_room(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("").start(constants=QUICK, env={"SKADI_MIN_FREE_MB": EVERYTHING_MB})
    server.add("help")
    wait_until(lambda: "no jobs are taken" in agent.log())
    looked = time.monotonic()
    wait_until(lambda: time.monotonic() - looked > 0.5)  # ten checks
    assert agent.log().count("no jobs are taken") == 1
    assert "MB free. Make room, or name another folder" in agent.log()
    assert server.polls == []


def test_an_agent_without_room_is_heard_until_it_takes_jobs_again(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("")
    (agent.state / "probe").mkdir(parents=True)
    agent.start(constants=QUICK + "from skadi import beat\nbeat.LONGEST_HOLD = 1.0")
    wait_until(lambda: len(server.beats) >= 2)
    assert [running for _, running in server.beats] == [[]] * len(server.beats)
    assert server.polls == []
    (agent.state / "probe").rmdir()
    wait_until(lambda: server.waiting)
    heard = len(server.beats)
    job = server.add("help")
    wait_until(lambda: job in server.reports)
    assert len(server.beats) <= heard + 2


def test_an_old_server_hears_nothing_of_an_agent_without_room(make_agent: Make) -> None:
    old = FakeServer(hold=True)
    try:
        agent = make_agent("", server=old.url).start(constants=QUICK, env={"SKADI_MIN_FREE_MB": EVERYTHING_MB})
        wait_until(lambda: "the server does not support beats" in agent.log())
        assert old.polls == []
        assert "Traceback" not in agent.log()
    finally:
        old.stop()


def test_jobs_are_taken_again_when_the_state_folder_can_be_written(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("")
    (agent.state / "probe").mkdir(parents=True)
    agent.start(constants=QUICK)
    job = server.add("help")
    wait_until(lambda: "the state folder cannot be written" in agent.log())
    assert server.polls == []
    (agent.state / "probe").rmdir()
    wait_until(lambda: job in server.reports)
    assert agent.log().count("jobs are taken") == 2


def test_a_job_that_cannot_be_written_down_is_not_acknowledged_and_runs_at_a_later_offer(
    server: FakeServer, make_agent: Make
) -> None:
    agent = make_agent("").start(constants=QUICK)
    wait_until(lambda: server.waiting)
    (agent.state / "jobs" / ".job").mkdir()
    server.add("help", "job")
    wait_until(lambda: "job cannot be stored" in agent.log())
    assert server.acks == []
    server.withdraw("job")
    kind, body = wait_until(lambda: server.reports.get("job"))
    assert (kind, body["offer"]) == ("succeed", 2)


def test_an_acknowledgement_that_cannot_be_noted_starts_nothing(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    agent = make_agent(f"shortcuts:\n  - {{short: touch, cmd: touch {tmp_path / 'ran'}}}\n")

    def block(handler: Handler) -> None:
        (agent.job_dir("job") / "job.json.new").mkdir()
        handler.answer(*server.acknowledge("job", 1))

    server.ack_replies.append(block)
    agent.start(constants=QUICK)
    server.add("touch", "job")
    kind, body = wait_until(lambda: server.reports.get("job"))
    assert kind == "fail"
    assert "the agent cannot start it" in body["result"]
    assert not (tmp_path / "ran").exists()


def test_the_floor_is_a_number_from_the_environment() -> None:
    assert free_floor_mb({}) == 50
    assert free_floor_mb({"SKADI_MIN_FREE_MB": "7"}) == 7
    assert free_floor_mb({"SKADI_MIN_FREE_MB": "none"}) == 50


def make_job(journal: Journal, job_id: str, age: float, *, delivered: bool = False, over: bool = True) -> Path:
    folder = Path(journal.folder(job_id))
    journal.receive(job_id, {"id": job_id, "message": ""})
    (folder / "started").write_text("1")
    (folder / "out.log").write_bytes(b"x" * 1000)
    if over:
        journal.write(job_id, "exit.json", {"rc": 0})
        journal.write(job_id, "report.json", {"kind": "succeed", "body": {"result": "y" * 500}})
    if delivered:
        journal.mark_delivered(job_id, 204)
        os.utime(folder / "delivered.json", (time.time() - age, time.time() - age))
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_over_the_cap_delivered_goes_first_then_output_then_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(str(tmp_path))
    delivered = make_job(journal, "delivered", 10, delivered=True)
    oldest = make_job(journal, "oldest", 40)
    newer = make_job(journal, "newer", 20)
    running = make_job(journal, "running", 60, over=False)
    keeper = Spool(journal, 0)

    def trim(cap: int) -> None:
        monkeypatch.setattr(spool, "CAP_BYTES", cap)
        keeper.trim()

    trim(100_000)
    assert keeper.dropped == 0
    assert delivered.exists()
    trim(5_000)
    assert not delivered.exists()
    assert keeper.dropped == 0
    trim(3_800)
    assert not (oldest / "out.log").exists()
    assert (newer / "out.log").exists()
    assert keeper.dropped == 1
    trim(0)
    assert not (newer / "report.json").exists()
    assert (newer / "exit.json").exists()
    assert (running / "out.log").exists()
    assert keeper.dropped == 4


def test_delivered_folders_go_after_seven_days_and_their_ids_stay(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    old = make_job(journal, "old", 8 * 86400, delivered=True)
    new = make_job(journal, "new", 6 * 86400, delivered=True)
    Spool(journal, 0).trim()
    assert (old.exists(), new.exists()) == (False, True)
    assert "old" in journal.done
