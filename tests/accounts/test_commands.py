"""Commands that a person or `make up` runs: the answer alone on stdout, an error in one sentence with status 1."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User, UserToken
from accounts.tokens import TokenKind, digest, kind_of
from agents.models import Agent, AgentToken
from tests.lanes.lane import Lane
from tests.lanes.services import ROOT

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command in this process and return what it printed."""

    def run_command(*arguments: str, stdin: str = "") -> str:
        out = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        call_command(*arguments, stdout=out)
        return out.getvalue()

    return run_command


@pytest.mark.parametrize(("scope", "prefix"), [("full", "lsu_"), ("jobs", "lsj_"), ("messages", "lsn_")])
def test_create_token_prints_a_token_alone(scope: str, prefix: str, run: Callable[..., str]) -> None:
    token = run("create_token", "alice", "--scope", scope).removesuffix("\n")
    assert token.startswith(prefix)
    assert kind_of(token) is TokenKind.USER
    row = UserToken.objects.get(digest=digest(token))
    assert (row.user.username, row.scope) == ("alice", scope)
    assert not row.user.has_usable_password()


def test_create_token_twice_makes_one_user(run: Callable[..., str]) -> None:
    assert run("create_token", "alice") != run("create_token", "alice")
    assert User.objects.count() == 1


def test_create_agent_prints_a_token_alone(run: Callable[..., str]) -> None:
    token = run("create_agent", "alice", "bar", "--alias", "bee").removesuffix("\n")
    assert kind_of(token) is TokenKind.AGENT
    agent = Agent.objects.get(tokens__digest=digest(token))
    assert (agent.owner.username, agent.name, agent.alias) == ("alice", "bar", "bee")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create_token", "no such name!"), ""),
        (("create_token", "x" * 200), ""),
        (("create_agent", "alice", "help"), "help"),
        (("create_agent", "alice", "x"), "2"),
        (("create_agent", "alice", "bar", "--alias", "two words"), ""),
    ],
)
def test_refusal_is_one_sentence_and_leaves_nothing(
    arguments: tuple[str, ...], sentence: str, run: Callable[..., str]
) -> None:
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.returncode == 1
    assert not User.objects.exists()


def test_create_agent_refuses_a_name_that_is_taken(run: Callable[..., str]) -> None:
    run("create_agent", "alice", "bar")
    with pytest.raises(CommandError, match="ＢＡＲ"):
        run("create_agent", "alice", "other", "--alias", "ＢＡＲ")
    run("create_agent", "charlie", "bar")


def test_first_start_makes_owner_token_and_demo_agent(run: Callable[..., str]) -> None:
    said = json.loads(run("first_start", stdin='{"username": "admin", "password": "pass-word-1"}'))
    assert set(said) == {"username", "password", "user_token", "agent_token"}
    owner = User.objects.get(username=said["username"])
    assert owner.is_superuser
    assert owner.is_staff
    assert owner.check_password("pass-word-1")
    assert UserToken.objects.get(digest=digest(said["user_token"])).user == owner
    assert AgentToken.objects.get(digest=digest(said["agent_token"])).agent.name == "demo"


def test_first_start_again_mends_and_keeps_one_agent(run: Callable[..., str]) -> None:
    first = json.loads(run("first_start", stdin='{"username": "admin", "password": "pass-word-1"}'))
    User.objects.update(is_active=False, is_staff=False)
    second = json.loads(run("first_start", stdin='{"username": "admin", "password": "pass-word-2"}'))
    assert User.objects.get().check_password("pass-word-2")
    assert User.objects.get().is_active
    assert Agent.objects.count() == 1
    assert AgentToken.objects.get(digest=digest(first["agent_token"])).revoked_at is not None
    assert AgentToken.objects.get(digest=digest(second["agent_token"])).revoked_at is None


@pytest.mark.parametrize(
    "stdin",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"username": "admin"}',
        '{"username": 1, "password": "x"}',
        '{"username": "a", "password": ""}',
    ],
)
def test_first_start_says_what_it_wants(stdin: str, run: Callable[..., str]) -> None:
    with pytest.raises(CommandError):
        run("first_start", stdin=stdin)
    assert not User.objects.exists()


def test_error_of_a_real_command_is_one_line_and_status_one(lane: Lane, tmp_path: Path) -> None:
    url = lane.migrated_database("commands", data=tmp_path)
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "create_agent", "alice", "help"],
        env={**os.environ, "LETSERVER_DATA": str(tmp_path), "LETSERVER_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CommandError: ")
