"""Output arrives while the command runs, once, in order and clean; the rest arrives after the report."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from skadi import logpump, pace
from skadi.client import Client
from skadi.config import parse_server
from skadi.journal import Journal
from skadi.logpump import LogPump
from skadi.result import report_of_run
from tests.skadi.fake_log_server import LogServer
from tests.skadi.support import TOKEN, wait_until

JOB = "job-1"
SECRET = "hunter2-hunter2"


@pytest.fixture
def log_server() -> Iterator[LogServer]:
    server = LogServer()
    yield server
    server.stop()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "state"))


class Work:
    """A job's folder as the shim and the executor fill it."""

    def __init__(self, journal: Journal, output: int = 1024 * 1024, job_id: str = JOB) -> None:
        self.journal = journal
        self.job_id = job_id
        self.folder = Path(journal.folder(job_id))
        self.folder.mkdir(mode=0o700)
        self.output = output
        self.job = {"id": job_id, "argv": ["x"], "output": output, "env": {"API_TOKEN": SECRET}}
        journal.write(job_id, "job.json", self.job)

    def print(self, data: bytes) -> None:
        with (self.folder / "out.log").open("ab") as file:
            file.write(data)

    def end(self, head: int | None = None) -> dict[str, Any]:
        end = {"rc": 0, "signal": None, "reason": "exit", "head": head}
        self.journal.write(self.job_id, "exit.json", end)
        report = report_of_run(str(self.folder), end, 5.0, [SECRET], self.output)
        self.journal.write(self.job_id, "report.json", report)
        body: dict[str, Any] = report["body"]
        return body

    def deliver(self) -> None:
        self.journal.write(self.job_id, "delivered.json", {"status": 204})


@pytest.fixture
def make_pump(
    journal: Journal, log_server: LogServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], LogPump]]:
    monkeypatch.setattr(logpump, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(logpump, "CHUNK_SECONDS", 0.1)
    monkeypatch.setattr(pace, "FIRST_RETRY", 0.02)
    running: list[tuple[LogPump, threading.Thread, Client]] = []

    def make() -> LogPump:
        client = Client(parse_server(log_server.url, False), TOKEN, {})
        pump = LogPump(journal, lambda: client, secrets)
        thread = threading.Thread(target=pump.run, daemon=True)
        thread.start()
        running.append((pump, thread, client))
        return pump

    yield make
    for pump, thread, client in running:
        pump.finish()
        thread.join(10)
        client.close()
        assert not thread.is_alive()


def secrets(job: Mapping[str, Any]) -> list[str]:
    return list(job["env"].values())


def done(work: Work) -> bool:
    return not (work.folder / "log.json").exists()


def test_output_arrives_while_the_command_runs(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    pump = make_pump()
    work = Work(journal)
    pump.follow(JOB)
    work.print("first 傻".encode()[:-1])
    work.print("傻".encode()[-1:] + b" line\r\nhalf a li")
    wait_until(lambda: log_server.log == "first 傻 line\n".encode())
    work.print(b"ne, token " + SECRET[:7].encode())
    work.print(SECRET[7:].encode() + b"\n")
    wait_until(lambda: log_server.log.endswith(b"half a line, token ***\n"))
    work.print(b"no line break")
    before = len(log_server.puts)
    body = work.end()
    work.print(b"")
    pump.wake()
    assert len(log_server.puts) == before, "the result goes first"
    work.deliver()
    wait_until(lambda: done(work))
    assert log_server.log.decode() == body["result"]
    assert len(log_server.log) == body["log_size"]
    assert log_server.tokens == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_printed_the_log_is_the_text_of_the_result(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump], seed: int
) -> None:
    chance = random.Random(seed)
    pump = make_pump()
    work = Work(journal, output=1024 * 1024)
    pump.follow(JOB)
    for _ in range(40):
        line = "".join(chance.choice(["傻瓜", "x", SECRET, "\x1b[1m", "\r", " "]) for _ in range(chance.randrange(400)))
        work.print(line.encode(chance.choice(["utf-8", "gb18030"])) + b"\n" * chance.randrange(2))
    body = work.end()
    work.deliver()
    wait_until(lambda: done(work))
    assert log_server.log.decode() == body["result"]
    assert SECRET.encode() not in log_server.log
    assert all(len(data) <= logpump.CHUNK_BYTES for _, data, _ in log_server.puts)


def test_only_the_stable_half_is_sent_before_the_end_and_the_whole_stays_in_the_limit(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    pump = make_pump()
    work = Work(journal, output=200_000)
    pump.follow(JOB)
    lines = b"".join(b"%07d\n" % number for number in range(100_000))
    work.print(lines[:200_000])
    wait_until(lambda: len(log_server.log) > 99_000)
    assert len(log_server.log) <= 100_000
    (work.folder / "out.log").write_bytes(lines[:100_000] + lines[-100_000:])  # as the shim does at the end
    body = work.end(head=100_000)
    work.deliver()
    wait_until(lambda: done(work))
    text = log_server.log.decode()
    assert len(log_server.log) == body["log_size"] <= 200_000
    assert text.startswith("0000000\n0000001\n")
    assert text.endswith("0099999\n")
    assert text.count("output left out") == 1
    numbers = [line for line in text.splitlines() if len(line) == 7 and line.isdigit()]
    assert numbers == sorted(set(numbers))


def test_chunks_are_small_and_packed(journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]) -> None:
    pump = make_pump()
    work = Work(journal)
    work.print("一行文字很多次\n".encode() * 15_000)
    pump.follow(JOB)
    wait_until(lambda: len(log_server.puts) >= 4)
    work.end()
    work.deliver()
    wait_until(lambda: done(work))
    assert all(zipped and len(data) <= 64 * 1024 for _, data, zipped in log_server.puts)
    assert sum(log_server.wires) < len(log_server.log) / 10


def test_a_new_start_goes_on_where_the_server_says(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    work = Work(journal)
    lines = b"".join(b"%07d\n" % number for number in range(40_000))
    work.print(lines)
    first = make_pump()
    first.follow(JOB)
    wait_until(lambda: len(log_server.log) >= 128 * 1024)
    first.finish()
    second = make_pump()
    second.recover()
    wait_until(lambda: len(log_server.puts) >= 4)
    work.end()
    work.deliver()
    wait_until(lambda: done(work))
    assert log_server.log == lines


def test_a_server_that_forgot_gets_it_again(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    pump = make_pump()
    work = Work(journal)
    work.print(b"one\n" * 1000)
    pump.follow(JOB)
    wait_until(lambda: len(log_server.log) == 4000)
    log_server.log = b"one\n"
    work.print(b"two\n")
    wait_until(lambda: log_server.log == b"one\n" * 1000 + b"two\n")


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413])
def test_a_final_answer_ends_the_log(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump], status: int
) -> None:
    pump = make_pump()
    work = Work(journal)
    log_server.replies.append((status, {}))
    work.print(b"text\n")
    pump.follow(JOB)
    wait_until(lambda: done(work))
    work.print(b"more\n")
    other = Work(journal, job_id="job-2")
    other.print(b"other\n")
    pump.follow("job-2")
    wait_until(lambda: log_server.log == b"other\n")
    assert [path for _, _, path in log_server.calls if JOB in path] == [f"/agent/jobs/{JOB}/log?offset=0"]


def test_a_server_in_trouble_is_asked_again(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    log_server.replies.extend([(503, {}), None, (500, {}), (429, {"Retry-After": "0"}), (408, {}), None])
    pump = make_pump()
    work = Work(journal)
    work.print(b"text\n")
    pump.follow(JOB)
    wait_until(lambda: log_server.log == b"text\n")
    log_server.replies.extend([(503, {})] * 3)
    work.print(b"end")
    work.end()
    work.deliver()
    wait_until(lambda: done(work))
    assert log_server.log == b"text\nend"


def test_an_answer_without_a_program_has_no_log(
    journal: Journal, log_server: LogServer, make_pump: Callable[[], LogPump]
) -> None:
    pump = make_pump()
    folder = Path(journal.folder(JOB))
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"id": JOB, "message": "help"}))
    pump.follow(JOB)
    journal.write(JOB, "report.json", {"kind": "succeed", "body": {"result": "x"}})
    journal.write(JOB, "delivered.json", {"status": 204})
    wait_until(lambda: not (folder / "log.json").exists())
    assert not log_server.puts
