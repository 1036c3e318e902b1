"""The data folder is for one user: files that others could read are closed, files of others stop the start."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from letserver.checks import claim_data_folder
from letserver.private import NotOurs, claim_folder, make_files_private
from letserver.up.folder import borrow_environment
from tests.lanes.services import ROOT
from tests.up.conftest import Start
from tests.up.instance import clean_environment, processes_of

_STRANGER = 65533


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that existed before, open to others, with files of this user."""
    folder = tmp_path / "data"
    (folder / "logs").mkdir(parents=True)
    (folder / "agent" / "state").mkdir(parents=True)
    for name in (
        "letserver.sqlite3",
        "letserver.sqlite3-wal",
        "secret_key",
        "logs/web.log",
        "agent/skadi.yml",
        "agent/state/job",
    ):
        (folder / name).write_text("x", encoding="utf-8")
        (folder / name).chmod(0o644)
    # Not left to the umask: tests of the agent's commands set it for this process.
    for inner in (folder, folder / "logs", folder / "agent", folder / "agent" / "state"):
        inner.chmod(0o755)
    return folder


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system say that the path belongs to another user; only root could make it so."""

    def owned_by_stranger(real: Any) -> Any:
        def look(self: Path, **more: Any) -> os.stat_result:
            found = real(self, **more)
            return os.stat_result((*found[:4], _STRANGER, *found[5:10])) if self == path else found

        return look

    monkeypatch.setattr(Path, "lstat", owned_by_stranger(Path.lstat))
    monkeypatch.setattr(Path, "stat", owned_by_stranger(Path.stat))


def _open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.lstat().st_mode) & 0o077]


def test_folder_that_was_open_to_others_is_closed_with_all_that_is_in_it(data: Path) -> None:
    tightened = claim_folder(data)
    assert tightened is not None
    assert (tightened.mode, stat.S_IMODE(data.stat().st_mode)) == (0o755, 0o700)
    assert tightened.count == 9
    assert _open_to_others(data) == [str(data / "agent" / "state" / "job")], "below agent, the agent decides"
    assert claim_folder(data) is None


def test_missing_folder_is_made_private(tmp_path: Path) -> None:
    assert claim_folder(tmp_path / "a" / "data") is None
    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "secret_key", "letserver.sqlite3-wal", "logs/web.log", "agent/skadi.yml"])
def test_path_of_another_user_is_refused_by_name_and_nothing_is_changed(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    give_away(data / name, monkeypatch)
    with pytest.raises(NotOurs) as refused:
        claim_folder(data)
    ours = pwd.getpwuid(os.geteuid()).pw_name
    assert refused.value.english.startswith(
        f"{data / name} belongs to {_user(_STRANGER)}, and LetServer runs as {ours}"
    )
    assert f"属于用户 {_user(_STRANGER)}" in refused.value.chinese
    assert stat.S_IMODE(data.stat().st_mode) == 0o755


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@pytest.mark.parametrize("name", ["secret_key", "logs/worker.log", "run"])
def test_link_in_the_folder_is_refused(data: Path, tmp_path: Path, name: str) -> None:
    (data / name).unlink(missing_ok=True)
    (data / name).symlink_to(tmp_path)
    with pytest.raises(NotOurs, match="symbolic link"):
        claim_folder(data)


def test_folder_that_all_users_share_is_refused(data: Path) -> None:
    data.chmod(0o1777)
    with pytest.raises(NotOurs, match="All users share"):
        claim_folder(data)


def test_link_of_ones_own_to_the_folder_is_followed(data: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(data)
    assert claim_folder(tmp_path / "elsewhere") is not None
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_processes_of_production_close_the_folder_or_end(
    data: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = data
    claim_data_folder()
    assert stat.S_IMODE((data / "secret_key").stat().st_mode) == 0o600
    give_away(data / "secret_key", monkeypatch)
    with pytest.raises(SystemExit, match="belongs to"):
        claim_data_folder()


def test_command_takes_no_settings_from_another_users_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "environment").write_text('{"LETSERVER_SECRET_KEY": "planted"}', encoding="utf-8")
    monkeypatch.delenv("LETSERVER_SECRET_KEY", raising=False)
    monkeypatch.setenv("LETSERVER_DATA", str(data))
    give_away(data / "environment", monkeypatch)
    with pytest.raises(NotOurs):
        borrow_environment()
    assert "LETSERVER_SECRET_KEY" not in os.environ


def test_umask_leaves_others_nothing(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        make_files_private()
        (tmp_path / "file").touch(mode=0o666)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_files_that_a_command_makes_are_private(data: Path) -> None:
    environment = clean_environment(LETSERVER_DATA=str(data), LETSERVER_SECRET_KEY="0" * 64)
    (data / "letserver.sqlite3").unlink()
    (data / "letserver.sqlite3-wal").unlink()
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "accounts", "0001", "--verbosity", "0", "--skip-checks"],
        cwd=ROOT,
        env=environment,
        check=True,
        umask=0o022,
    )
    assert stat.S_IMODE((data / "letserver.sqlite3").stat().st_mode) == 0o600


def test_start_says_that_the_folder_was_open(start: Start, data: Path) -> None:
    with socket.socket() as other:  # the start ends at the busy port, after the folder
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = start(data, port=other.getsockname()[1]).wait_for_refusal()
    assert f"9 paths of the data folder {data} (mode 755) were open to other users" in said
    assert "原先对其他用户开放" in said
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_start_on_a_planted_link_is_refused(start: Start, data: Path, tmp_path: Path) -> None:
    (data / "environment").symlink_to(tmp_path / "theirs")
    said = start(data).wait_for_refusal()
    assert f"{data / 'environment'} is a symbolic link" in said
    assert "符号链接" in said
    assert "Traceback" not in said
    assert not (tmp_path / "theirs").exists()
    assert not processes_of(data)
