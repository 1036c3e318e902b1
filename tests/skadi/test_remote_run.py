"""`skadi run AGENT TEXT`: output as it comes, the exit code of the command, and one job even after a lost answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.skadi.fake_log_server import JOB, LogServer
from tests.skadi.support import ROOT, other_pythons, wait_until

TOKEN = "lsj_" + "a" * 36
Run = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def log_server() -> Iterator[LogServer]:
    server = LogServer()
    yield server
    server.stop()


@pytest.fixture
def run(log_server: LogServer) -> Iterator[Run]:
    """Start `skadi run` with these words."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, python: str = sys.executable, constants: str = "", **env: str) -> subprocess.Popen[bytes]:
        quick = f"import sys\nfrom skadi import cli, pace, remote\npace.FIRST_RETRY = 0.02\n{constants}\n"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SKADI")}
        environment.update(SKADI_TOKEN=TOKEN, SKADI_SERVER=log_server.url, LANG="C", PYTHONDONTWRITEBYTECODE="1")
        process = subprocess.Popen(
            [python, "-c", quick + "sys.exit(cli.main())", "run", *words],
            cwd=ROOT,
            env={**environment, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=20)
    return process.returncode, out.decode(), err.decode()


def followed(server: LogServer) -> bool:
    return any("/log?" in path for _, _, path in server.calls)


def test_text_is_printed_as_it_comes_and_the_exit_code_is_passed_on(log_server: LogServer, run: Run) -> None:
    process = run("nas", "free", "-k")
    wait_until(lambda: followed(log_server))
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), True)
    log_server.print("第一行\n")
    assert process.stdout.readline().decode() == "第一行\n"
    log_server.print("second, \x1b[31mred\n")
    assert process.stdout.readline() == b"second, [31mred\n"
    log_server.end("failed", 7, reason="exit")
    assert end_of(process) == (7, "", "")
    assert log_server.bodies == [{"agent": "nas", "message": "free -k", "source": "skadi run"}]
    assert log_server.tokens == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (("succeeded", 0), 0, ""),
        (("succeeded", None), 0, ""),
        (("failed", 1), 1, ""),
        (("failed", None, 9, "signal"), 137, ""),
        (("failed", None, 15, "timeout"), 143, "ran into its time limit"),
        (("failed", 0, None, "timeout"), 1, "ran into its time limit"),
        (("failed", None, None, "interrupted"), 1, "was interrupted"),
        (("failed", None, 15, "canceled"), 1, "was canceled"),
        (("failed", None), 1, "failed without an exit code"),
        (("canceled", None), 1, "was canceled"),
        (("expired", None), 1, "expired"),
    ],
)
def test_how_a_job_ended_is_how_we_end(
    log_server: LogServer, run: Run, end: tuple[str, int | None], code: int, words: str
) -> None:
    log_server.end(*end)
    returned, out, err = end_of(run("nas", "x"))
    assert (returned, out, words in err) == (code, "", True)
    assert len(err.splitlines()) == (1 if words else 0)


def test_a_lost_answer_and_a_server_in_trouble_make_one_job(log_server: LogServer, run: Run) -> None:
    log_server.replies.extend([(503, {"Retry-After": "0"}), None, (429, {})])
    log_server.lost_posts = 2
    process = run("nas", "x")
    wait_until(lambda: followed(log_server))
    log_server.replies.extend([(500, {}), None, (503, {})])
    log_server.print("a")
    log_server.print("b\n")
    log_server.end()
    assert end_of(process) == (0, "ab\n", "")
    assert len(log_server.keys) == 3
    assert len(set(log_server.keys)) == 1
    assert len(log_server.made) == 1


def test_every_run_has_a_key_of_its_own(log_server: LogServer, run: Run) -> None:
    log_server.end()
    for _ in range(2):
        assert end_of(run("nas", "x"))[0] == 0
    assert len(set(log_server.keys)) == 2


def test_a_server_that_is_away_is_waited_for_with_a_word_about_it(log_server: LogServer, run: Run) -> None:
    log_server.replies.extend([(503, {})] * 40)
    process = run("nas", "x", constants="remote.NOTICE_SECONDS = 0.05; remote.LONGEST_RETRY = 0.05")
    log_server.end()
    code, _, err = end_of(process)
    assert (code, "the server answers 503" in err, "still trying" in err) == (0, True, True)


def test_the_timeout_ends_the_waiting(log_server: LogServer, run: Run) -> None:
    code, out, err = end_of(run("--timeout", "1", "nas", "x"))
    assert (code, out) == (1, "")
    assert f"job {JOB} goes on without us" in err
    log_server.replies.extend([(503, {})] * 1000)
    code, out, err = end_of(run("nas", "x", "--timeout=1"))
    assert (code, "the server may have taken it" in err) == (1, True)


@pytest.mark.parametrize("option", ["--ttl", "--wait-for-agent"])
def test_a_job_may_wait_for_its_agent(log_server: LogServer, run: Run, option: str) -> None:
    log_server.end()
    assert end_of(run("nas", "x", option, "60", "--", "--ttl"))[0] == 0
    assert log_server.bodies == [{"agent": "nas", "message": "x --ttl", "source": "skadi run", "ttl": 60}]


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, 1, "the job was refused: a sentence"),
        (404, 1, "the job was refused: a sentence"),
        (401, 78, "refuses SKADI_TOKEN: a sentence"),
        (403, 78, "refuses SKADI_TOKEN: a sentence"),
    ],
)
def test_a_refusal_is_said_in_one_sentence(log_server: LogServer, run: Run, status: int, code: int, words: str) -> None:
    log_server.replies.append((status, {}))
    returned, out, err = end_of(run("nas", "x"))
    assert (returned, out, words in err, len(err.splitlines())) == (code, "", True, 1)
    assert len(log_server.calls) == 1


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (("nas",), {}, "which agent and what to run"),
        (("nas", " "), {}, "which agent and what to run"),
        (("nas", "x"), {"SKADI_TOKEN": ""}, "set SKADI_TOKEN"),
        (("nas", "x"), {"SKADI_TOKEN": "b" * 20}, "not a token for jobs"),
        (("nas", "x"), {"SKADI_SERVER": ""}, "--server"),
        (("nas", "x", "--server", "http://letserver.example"), {}, "use https"),
        (("nas", "x", "--server", "ftp://x"), {}, "must be an address"),
        (("nas", "x", "--server"), {}, "needs a value"),
        (("nas", "x", "--ttl", "soon"), {}, "whole number of seconds"),
        (("nas", "x", "--ttl", "1", "--wait-for-agent", "1"), {}, "are the same"),
    ],
)
def test_bad_usage_ends_with_78_and_asks_nothing(
    log_server: LogServer, run: Run, words: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    code, out, err = end_of(run(*words, **env))
    assert (code, out, said in err, len(err.splitlines())) == (78, "", True, 1)
    assert "b" * 20 not in err
    assert not log_server.calls


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_cancels_and_the_last_words_still_come(log_server: LogServer, run: Run, number: int) -> None:
    process = run("nas", "x")
    wait_until(lambda: followed(log_server))
    log_server.replies.append((503, {}))
    process.send_signal(number)
    code, out, err = end_of(process)
    assert (code, out) == (130, "last words\n")
    assert "canceling" in err
    assert [path for _, method, path in log_server.calls if method == "POST"][-1] == f"/jobs/{JOB}/cancel"


def test_a_second_signal_leaves_at_once(log_server: LogServer, run: Run) -> None:
    log_server.ends_on_cancel = False
    process = run("nas", "x")
    wait_until(lambda: followed(log_server))
    process.send_signal(signal.SIGINT)
    wait_until(lambda: any(path.endswith("/cancel") for _, _, path in log_server.calls))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert end_of(process)[0] == 130
    assert time.monotonic() - began < 3


def test_a_reader_that_goes_away_ends_us_quietly(log_server: LogServer, run: Run) -> None:
    process = run("nas", "x")
    wait_until(lambda: followed(log_server))
    assert process.stdout is not None
    process.stdout.close()
    log_server.print("nobody reads this\n")
    assert process.wait(10) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


@pytest.mark.parametrize("python", other_pythons())
def test_it_runs_under_every_supported_python(log_server: LogServer, run: Run, python: str) -> None:
    log_server.print("傻瓜\n")
    log_server.end("failed", 3)
    assert end_of(run("nas", "x", python=python)) == (3, "傻瓜\n", "")
