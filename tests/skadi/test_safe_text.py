"""Characters that act on a terminal never reach one, or the log, from any command of skadi."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from skadi import cli, remote
from skadi.job import read_job
from skadi.log import LineFormatter
from skadi.safe_text import one_line, printable, storable
from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
ACTING = "\x00\x07\x08\r\x1b[31m\x1b]0;x\x07\x7f\x85\x9b2J\u061c\u200b\u200e\u202a\u202e\u2028\u2066\u2069\ufeff\ud800"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def test_acting_characters_are_written_out() -> None:
    assert one_line("a\x1b[31mb\u202ec\nd\re\x9b") == "a\\x1b[31mb\\u202ec d e\\x9b"
    assert printable("a\tb\nc\r") == "a\tb\nc\\x0d"
    assert storable("a\ud800b傻") == "a\ufffdb傻"
    plain = "plain text, 傻瓜, العربية, 👩\u200d👧"  # a joiner builds one picture of two
    assert one_line(plain) == plain
    assert not RAW.search(printable(ACTING))


def test_the_log_has_no_acting_characters() -> None:
    record = logging.makeLogRecord({"msg": f"a{ACTING}", "levelname": "INFO", "levelno": 20, "job": f"b{ACTING}"})
    for journald in (False, True):
        line = LineFormatter(journald).format(record)
        assert not RAW.search(line)
        assert "\n" not in line
        assert "\\x1b[31m" in line


@pytest.mark.parametrize(
    "words", [["check"], ["doctor"], ["match", f"x{ACTING.replace(chr(0), '')}"], ["match", "help"]]
)
def test_commands_print_no_acting_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    path = tmp_path / "skadi.yml"
    path.write_text('commands: [{prefix: "tar\\x1b[31m\\u202e", max_argz: 1, description: "\\x9b\\u2066"}]\n')
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("SKADI_STATE_DIR", str(tmp_path / "none"))
    cli.main(["--config", str(path), *words])
    printed = capsys.readouterr()
    assert printed.out
    assert not RAW.search(printed.out + printed.err)


def test_wrong_command_lines_print_no_acting_characters(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["\x1b[31m", "\u202e"])
    cli.main(["--config", "/\x1b[31m", "check"])
    with pytest.raises(SystemExit):
        cli.main(["--\x1b[31m"])
    printed = capsys.readouterr().err
    assert printed.count("\\x1b[31m") >= 3
    assert not RAW.search(printed)


def test_skadi_run_prints_no_acting_characters(capfd: pytest.CaptureFixture[str]) -> None:
    remote.show_text(f"a\tb\n{ACTING}c")
    remote.show_notice(f"the job was refused: {ACTING}")
    printed = capfd.readouterr()
    assert printed.out.startswith("a\tb\n")
    assert printed.out.endswith("c")
    assert not RAW.search(printed.out + printed.err)


def test_texts_of_the_server_are_clean_in_the_log_of_an_agent(server: FakeServer, make_agent: Make) -> None:
    def introduce(handler: Handler) -> None:
        handler.answer(200, {"name": f"a{ACTING}", "owner": f"b{ACTING}"})

    def refuse(handler: Handler) -> None:
        handler.answer(400, {"error": f"Bad{ACTING}"})

    server.whoami_replies.append(introduce)
    server.poll_replies.append(refuse)
    agent = make_agent("", top="log_messages: true\n").start(constants="pace.FIRST_RETRY = 0.1")
    job = server.add(f"x{ACTING}".replace("\ud800", ""))
    wait_until(lambda: job in server.reports)
    assert "error=Bad\\x00" in agent.log()
    assert f"job={job} text=x\\x00" in agent.log()
    assert [line for line in agent.log().split("\n") if RAW.search(line)] == []


def test_a_message_with_half_a_character_matches_nothing() -> None:
    for body in ({"message": "a\ud800"}, {"message": "a", "argv": ["a", "\udc00"]}):
        job = read_job({"id": "one", **body})
        assert job is not None
        assert job.argv == ()
        assert storable(job.message) == job.message
