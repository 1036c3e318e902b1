"""The agent does not start with a state folder that another user could have written, and says whose it is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skadi import cli, shim
from skadi.journal import Journal, StateError
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
OTHER = 54321
IS_ROOT = os.geteuid() == 0
PLACES = ("", "jobs", "jobs/one", "jobs/one/job.json", "done.log", "token.sha256", "lock")


def give_away(path: Path) -> str:
    """Give a file to another user. Without root, let every user write to it. Return what the message must say."""
    if IS_ROOT:
        os.chown(path, OTHER, OTHER, follow_symlinks=False)
        return f"{path} belongs to uid {OTHER}, who could have put jobs into it: look into it, then run: chown -R root"
    path.chmod(path.stat().st_mode | 0o002)
    return f"{path} can be written by every user"


def for_group(path: Path) -> str:
    path.chmod(path.stat().st_mode | 0o020)
    return f"{path} can be written by the group"


def for_all(path: Path) -> str:
    path.chmod(path.stat().st_mode | 0o002)
    return f"{path} can be written by every user: look into it, then run: chmod go-w {path}"


def linked(path: Path) -> str:
    moved = path.with_name(path.name + ".moved")
    path.rename(moved)
    path.symlink_to(moved)
    return f"{path} is a symbolic link"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with one job that has started and whose report waits."""
    folder = tmp_path / "parent" / "state"
    folder.mkdir(parents=True)
    journal = Journal(str(folder))
    journal.receive("one", {"id": "one", "message": "help"})
    journal.done.add("two")
    journal.remember_token("a" * 20)
    os.close(journal._lock)
    return folder


@pytest.mark.parametrize(
    ("place", "change"),
    [
        *((place, change) for place in PLACES for change in (give_away, for_group, for_all)),
        *((place, linked) for place in PLACES[1:]),  # the folder itself may be reached through a link
    ],
)
def test_what_another_user_could_have_written_stops_the_start(
    state: Path, place: str, change: Callable[[Path], str]
) -> None:
    expected = change(state / place)
    with pytest.raises(StateError) as caught:
        Journal(str(state))
    assert expected in str(caught.value)


@pytest.mark.parametrize("change", [give_away, for_all])
def test_a_folder_above_must_be_safe_too(state: Path, change: Callable[[Path], str]) -> None:
    expected = change(state.parent)
    with pytest.raises(StateError) as caught:
        Journal(str(state))
    assert expected in str(caught.value)


def test_a_sticky_folder_above_and_a_link_are_accepted(state: Path, tmp_path: Path) -> None:
    state.parent.chmod(0o1777)
    (tmp_path / "link").symlink_to(state)
    assert Journal(str(tmp_path / "link")).state_dir == str(state)


def test_a_start_with_a_foreign_folder_ends_with_a_sentence(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("")
    agent.state.mkdir()
    expected = give_away(agent.state)
    assert agent.start().wait() == 1
    assert f"skadi: the state folder {agent.state} cannot be trusted: {expected}" in agent.log()
    assert "Traceback" not in agent.log()
    assert server.introductions == 0


def test_the_doctor_says_it_too(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "skadi.yml"
    path.write_text("{}")
    path.chmod(0o600)
    expected = give_away(state)
    monkeypatch.setenv("SKADI_STATE_DIR", str(state))
    assert cli.main(["--config", str(path), "doctor"]) == 2
    assert expected in capsys.readouterr().out


def make_job(folder: Path, ran: Path) -> Path:
    folder.mkdir(mode=0o700)
    job = {"argv": ["touch", str(ran)], "dir": "/", "env": {"PATH": os.environ["PATH"]}, "umask": 0o022}
    (folder / "job.json").write_text(json.dumps({**job, "timeout": 9, "kill_after": 1, "output": 1024}))
    return folder


@pytest.mark.parametrize("change", [None, give_away, for_group, for_all, linked])
@pytest.mark.parametrize("place", ["", "job.json"])
def test_a_shim_runs_no_job_that_another_user_could_have_written(
    tmp_path: Path, place: str, change: Callable[[Path], str] | None
) -> None:
    ran = tmp_path / "ran"
    folder = make_job(tmp_path / "job", ran)
    if change is not None:
        change(folder / place)
    done = subprocess.run([sys.executable, "-I", "-S", shim.__file__, str(folder)], capture_output=True, check=False)
    assert ran.exists() == (change is None)
    assert (done.returncode == 0) == (change is None)


def test_a_job_file_that_was_exchanged_later_is_not_read(state: Path) -> None:
    journal = Journal(str(state))
    assert journal.read("one", "job.json") is not None
    give_away(state / "jobs" / "one" / "job.json")
    assert journal.read("one", "job.json") is None


def test_everything_that_the_agent_makes_is_its_own(server: FakeServer, make_agent: Make) -> None:
    old = os.umask(0)
    try:
        agent = make_agent("shortcuts:\n  - {short: a, cmd: echo a}\n").start()
    finally:
        os.umask(old)
    job = server.add("a")
    wait_until((agent.job_dir(job) / "delivered.json").exists)
    made = [agent.state, *agent.state.rglob("*")]
    assert len(made) >= 10
    assert [(path, oct(path.stat().st_mode)) for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
