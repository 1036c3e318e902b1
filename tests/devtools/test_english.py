"""The table, the limits and the exit code of `python -m devtools.english`."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from devtools.english.__main__ import main
from devtools.english.paragraphs import Kind, Paragraph
from devtools.english.report import Finding, RoomCount, count_room
from devtools.english.sources import folder_sentences
from devtools.english.words import read_words

_GOOD = "The agent claims one job at a time.\n\n" * 30
_BAD = "Whoever guesses is counted.\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with thirty good sentences in docs/, in which the command runs."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.md").write_text(_GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_good_english_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("docs "))
    assert row.split() == ["docs", "30", "0.0", "0.0"]


def test_a_room_above_the_limit_fails_and_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "docs" / "bad.md").write_text(_BAD, encoding="utf-8")
    assert main([]) == 1
    assert "Above the limit: docs." in capsys.readouterr().out


def test_worst_sentences_are_printed_with_file_line_and_reason(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "docs" / "bad.md").write_text(f"This sentence is fine.\n\n{_BAD}", encoding="utf-8")
    main(["--worst", "1", "--room", "docs"])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "docs/bad.md:3: Whoever guesses is counted."
    assert "a clause with who instead of a subject; 'Whoever' (write: " in second


def test_an_unknown_room_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--room", "cellar"])
    assert "no such room: cellar" in capsys.readouterr().err


def test_a_foreign_folder_is_measured(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "other").mkdir()
    (project / "other" / "module.py").write_text('"""What came back."""\n', encoding="utf-8")
    assert main(["--path", str(project / "other")]) == 1
    assert "Above the limit: other." in capsys.readouterr().out


@pytest.mark.parametrize("library", ["rest_framework", "urllib3"])
def test_well_kept_libraries_pass_by_a_wide_margin(library: str) -> None:
    """A rule that finds something in their ordinary English is wrong."""
    spec = importlib.util.find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    count = count_room(library, folder_sentences(Path(spec.origin).parent)[library], read_words())
    assert count.sentences > 1000
    assert count.no_subject < 0.5
    assert count.listed < 0.2


def _count(room: str, *, no_subject: int, listed: int) -> RoomCount:
    """Return a room of 100 sentences and 1,000 words with that many findings of each sort."""
    (sentence,) = Paragraph(path="a.md", kind=Kind.PROSE, lines=((1, _BAD),)).sentences()
    openings = [Finding(sentence=sentence, no_subject="who", listed=())] * no_subject
    words = [Finding(sentence=sentence, no_subject=None, listed=(("whoever", "the caller"),))] * listed
    return RoomCount(room=room, sentences=100, words=1000, findings=(*openings, *words))


@pytest.mark.parametrize(
    ("no_subject", "listed", "is_above"), [(1, 1, False), (2, 0, True), (0, 2, True), (0, 0, False)]
)
def test_a_limit_holds_for_both_numbers(no_subject: int, listed: int, is_above: bool) -> None:
    assert _count("jobs", no_subject=no_subject, listed=listed).is_above is is_above
