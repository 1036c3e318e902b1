"""Entries with `confirm: true` run only if the offer says that the owner has confirmed the job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skadi import cli, config, match
from skadi.job import Job, job_to_store, read_stored_job
from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
ENTRIES = "shortcuts:\n  - {short: restart, cmd: 'echo restarted', confirm: true}\n"


@pytest.mark.parametrize("protocol", [1, 2])
def test_nothing_runs_before_the_owner_has_said_yes(tmp_path: Path, protocol: int) -> None:
    server = FakeServer(protocol=protocol, hold=True)
    agent = AgentProcess(tmp_path, server.url, ENTRIES)
    try:
        agent.start()
        job = server.add("restart")
        wait_until(lambda: job in server.reports)
        kind, body = server.reports[job]
        assert (kind, body["reason"]) == ("fail", "confirm")
        assert "restarted" not in body["result"]
    finally:
        agent.stop()
        server.stop()


def test_a_confirmed_offer_runs(server: FakeServer, make_agent: Make) -> None:
    def offer(params: object) -> Callable[[Handler], None]:
        number = len(server.poll_replies)
        body = {"id": f"one-{number}", "message": "restart", "params": params}
        return lambda handler: handler.answer(200, body)

    for params in ({"confirmed": True}, {"confirmed": 1}, {"confirmed": "true"}, [], None):
        server.poll_replies.append(offer(params))
    make_agent(ENTRIES).start()
    wait_until(lambda: len(server.reports) == 5, seconds=20)
    assert [server.reports[f"one-{number}"][0] for number in range(5)] == ["succeed", *["fail"] * 4]


def test_a_job_that_waited_over_a_restart_is_still_confirmed() -> None:
    job = Job("one", "restart", confirmed=True)
    assert read_stored_job(job_to_store(job)) == job
    assert read_stored_job(job_to_store(Job("one", "restart"))) == Job("one", "restart")


@pytest.mark.parametrize(
    ("written", "refusal"), [("true", ""), ("false", ""), ("totp", "not supported"), ("", "no value")]
)
def test_what_confirm_may_be(tmp_path: Path, written: str, refusal: str) -> None:
    path = tmp_path / "skadi.yml"
    path.write_text("shortcuts:\n  - short: a\n    cmd: echo a\n    confirm: " + written + "\n")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    loaded: Any = config.load(str(path), {})
    (entry,) = loaded.of_kind("shortcut")
    assert refusal in entry.refusal
    assert bool(entry.refusal) == bool(refusal)
    assert entry.confirm == (written == "true")
    assert ("[confirm]" in match.help_text(loaded)) == entry.confirm


def test_match_says_that_it_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "skadi.yml"
    path.write_text(ENTRIES)
    assert cli.explain(str(path), "restart") == 0
    assert "must confirm it" in capsys.readouterr().out
