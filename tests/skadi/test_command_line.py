"""`skadi TOKEN`, `match`, `check`, `version`, and the exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skadi.edit import with_token
from tests.skadi.support import ROOT, SAMPLE, TOKEN

NEW = "B" * 20


def skadi(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SKADI", "CONFIGOR"))}
    return subprocess.run(
        [sys.executable, "-m", "skadi", *arguments],
        cwd=cwd or ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def write(folder: Path, text: str) -> Path:
    folder.chmod(0o700)
    path = folder / "skadi.yml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    return path


def test_version_and_help() -> None:
    assert skadi("version").stdout == "skadi 2.0.0\n"
    assert skadi("--version").stdout == "skadi 2.0.0\n"
    done = skadi("--help")
    assert (done.returncode, "Exit codes: 0 fine; 1 refused or failed; 78" in done.stdout) == (0, True)


def test_token_is_written_and_nothing_else_changes(tmp_path: Path) -> None:
    text = "# 注释\ndebug: false\ntoken:   # paste it here\nserver: https://x.example\n" + SAMPLE + "# the end"
    path = write(tmp_path, text)
    done = skadi(NEW, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text(encoding="utf-8") == text.replace("token:   # paste", f"token: {NEW}   # paste")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["skadi.yml"]


@pytest.mark.parametrize("token", ["short", "x" * 21, "x" * 19 + "-", "令" * 20])
def test_a_bad_token_changes_nothing(tmp_path: Path, token: str) -> None:
    path = write(tmp_path, "token: old\n")
    done = skadi("--config", str(path), token)
    assert done.returncode == 1
    assert "a token has 20 letters and digits" in done.stderr
    assert path.read_text() == "token: old\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("token: old\n", f"token: {NEW}\n"),
        ("token: 'old' # c\n", f"token: {NEW} # c\n"),
        ('token: "old"\r\na: 1\r\n', f"token: {NEW}\r\na: 1\r\n"),
        ("token:\n", f"token: {NEW}\n"),
        ("token :   \nx: y", f"token: {NEW}\nx: y"),
        ("# c\n\nserver: x\n", f"# c\n\ntoken: {NEW}\nserver: x\n"),
        ("---\nserver: x\n", f"---\ntoken: {NEW}\nserver: x\n"),
        ("", f"token: {NEW}\n"),
        ("a:\n  token: inner\ntoken: old", f"a:\n  token: inner\ntoken: {NEW}"),
        ("\ufeffserver: x\n", f"\ufefftoken: {NEW}\nserver: x\n"),
    ],
)
def test_the_token_line_is_edited_as_text(before: str, after: str) -> None:
    assert with_token(before, NEW) == after


def test_a_token_that_looks_like_a_number_is_quoted() -> None:
    assert with_token("token: old\n", "1" * 20) == f'token: "{"1" * 20}"\n'


@pytest.mark.parametrize(
    "text", ["{token: old, server: x}\n", "token: >\n  old\n", "token: a\ntoken: b\n", "lit: |\ntoken: x\n a: b\n"]
)
def test_a_file_that_cannot_be_edited_safely_stays(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    done = skadi("--config", str(path), NEW)
    assert done.returncode == 1
    assert "was not changed" in done.stderr
    assert path.read_text() == text


def test_match_explains_without_running(tmp_path: Path) -> None:
    path = write(tmp_path, SAMPLE + f"  - {{name: touch, temp: touch %s, dir: {tmp_path}, timeout: 90s}}\n")
    done = skadi("--config", str(path), "match", "touch canary")
    assert done.returncode == 0
    for words in ("template touch (line 12", "'touch'", "'canary'", f"folder       {tmp_path}", "timeout      1m30s"):
        assert words in done.stdout
    assert not (tmp_path / "canary").exists()
    done = skadi("--config", str(path), "match", "free; id")
    assert (done.returncode, done.stdout) == (1, "refused: unsupported command: free; id\n")


def test_check_counts_and_warns(tmp_path: Path) -> None:
    path = write(tmp_path, f"token: {TOKEN}\nserver: https://x.example\n" + SAMPLE)
    done = skadi("--config", str(path), "check")
    assert done.returncode == 0
    assert "others can read" in done.stdout
    assert "4 of 4 entries can run" in done.stdout
    assert TOKEN not in done.stdout
    path.write_text(
        "commands:\n  - prefix: tar\n  - {prefix: free, confirm: totp}\n  - {prefix: nothing-here-by-that-name}\n"
    )
    done = skadi("--config", str(path), "check")
    assert done.returncode == 1
    for words in (
        "no token yet",
        "no server",
        "tar can run other programs",
        "confirm is not supported",
        "was not found",
        "2 of 3",
    ):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &b c\n", "line 1: anchors"),
        ("server: https://x.example\n", "has no token yet"),
        (f"token: {TOKEN}\n", "does not say where the server is"),
        ("token: abc\nserver: https://x.example\n", "must be 20 letters and digits"),
        (f"token: {TOKEN}\nserver: http://x.example\n", "insecure_http"),
    ],
)
def test_a_bad_configuration_ends_with_78(tmp_path: Path, text: str, words: str) -> None:
    done = skadi("--config", str(write(tmp_path, text)), SKADI_STATE_DIR=str(tmp_path / "state"))
    assert (done.returncode, done.stdout) == (78, "")
    assert words in done.stderr
    assert TOKEN not in done.stderr


def test_no_configuration_ends_with_78(tmp_path: Path) -> None:
    done = skadi("--config", str(tmp_path / "absent.yml"))
    assert done.returncode == 78
    assert "cannot be read" in done.stderr


@pytest.mark.parametrize("arguments", [("a", "b"), ("--unknown",), ("match",)])
def test_what_is_not_understood_ends_with_1(arguments: tuple[str, ...]) -> None:
    done = skadi(*arguments)
    assert done.returncode == 1
    assert "skadi --help" in done.stderr


def test_a_state_folder_that_cannot_be_made_ends_with_1(tmp_path: Path) -> None:
    path = write(tmp_path, f"token: {TOKEN}\nserver: http://127.0.0.1:9\n")
    (tmp_path / "file").write_text("")
    done = skadi("--config", str(path), SKADI_STATE_DIR=str(tmp_path / "file" / "state"))
    assert done.returncode == 1
    assert "state folder" in done.stderr
