"""The commit-msg hook, through `make hooks` and a real `git commit`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lanes.services import ROOT

_GOOD = {
    "example": "jobs: Refuse reports from an expired lease.",
    "folder": "jobs/life: Retry the claim once on a deadlock.",
    "two rooms": "jobs, docs: Document the order of locks.",
    "72 characters": f"jobs: Add {'x' * 61}.",
    "merge": "Merge branch 'english'",
    "revert": 'Revert "jobs: Refuse reports from an expired lease."',
    "fixup": "fixup! jobs: Refuse reports from an expired lease.",
    "squash": "squash! jobs: Refuse reports from an expired lease.",
}
_BAD = {
    "no room": ("Refuse reports from an expired lease.", "it does not have the form"),
    "room in capitals": ("Jobs: Refuse reports.", "it does not have the form"),
    "only a verb": ("jobs: Refuse", "it does not have the form"),
    "article": ("jobs: The lease expires.", "'The' is not a verb"),
    "who": ("jobs: Who fires by hand while a tick fires is told.", "'Who' is not a verb"),
    "of": ("docs: Of what ran, the last fifty are kept.", "'Of' is not a verb"),
    "third person": ("jobs: Refuses reports.", "'Refuses' is not a verb"),
    "past": ("jobs: Refused reports.", "'Refused' is not a verb"),
    "gerund": ("jobs: Refusing reports.", "'Refusing' is not a verb"),
    "lower case": ("jobs: refuse reports.", "'refuse' is not a verb"),
    "73 characters": (f"jobs: Add {'x' * 62}.", "it has 73 characters; at most 72"),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A new repository with the hooks of this one, installed as in CONTRIBUTING.md."""
    shutil.copytree(ROOT / "devtools" / "hooks", tmp_path / "devtools" / "hooks")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "hooks"], cwd=tmp_path, check=True)
    return tmp_path


def _commit(checkout: Path, message: str) -> subprocess.CompletedProcess[str]:
    identity = ["-c", "user.name=Alice", "-c", "user.email=alice@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "commit", "--allow-empty", "-q", "-m", message]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def _subjects(checkout: Path) -> list[str]:
    log = subprocess.run(["git", "log", "--format=%s"], cwd=checkout, capture_output=True, text=True, check=False)
    return log.stdout.splitlines()


@pytest.mark.parametrize("subject", _GOOD.values(), ids=_GOOD.keys())
def test_commit_with_a_good_subject_is_made(checkout: Path, subject: str) -> None:
    run = _commit(
        checkout, f"{subject}\n\nWho reads the body? It may say what it likes, and be longer than the subject."
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert _subjects(checkout) == [subject]


@pytest.mark.parametrize(("subject", "fault"), _BAD.values(), ids=_BAD.keys())
def test_commit_with_a_bad_subject_is_refused_with_the_reason(checkout: Path, subject: str, fault: str) -> None:
    run = _commit(checkout, subject)
    assert run.returncode != 0
    assert fault in run.stderr
    assert f"yours:   {subject}" in run.stderr
    assert "example: jobs: Refuse reports from an expired lease." in run.stderr
    assert _subjects(checkout) == []


def test_the_verbs_are_sorted_capitalized_and_in_the_imperative() -> None:
    verbs = (ROOT / "devtools" / "hooks" / "verbs.txt").read_text(encoding="utf-8").splitlines()
    assert verbs == sorted(set(verbs))
    assert [verb for verb in verbs if not verb.isalpha() or verb != verb.capitalize()] == []
    assert [verb for verb in verbs if verb.endswith("ing") and verb not in {"Bring", "Ring"}] == []
