"""The table, the ceilings and the exit code of `python -m devtools.english`."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from devtools.english.__main__ import main
from devtools.english.paragraphs import Kind, Paragraph
from devtools.english.report import Ceiling, Finding, RoomCount, count_room, lowered, read_ceilings, write_ceilings
from devtools.english.sources import ROOMS, folder_sentences
from devtools.english.words import read_words

_GOOD = "The agent claims one job at a time.\n\n" * 30
_BAD = "Whoever guesses is counted.\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with thirty good sentences in docs/, in which the command runs; no room has a ceiling."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.md").write_text(_GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("devtools.english.__main__.read_ceilings", dict)
    return tmp_path


def test_good_english_passes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("docs "))
    assert row.split() == ["docs", "30", "0.0", "1.0", "0.0", "1.0"]


def test_a_room_above_the_limit_fails_and_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "docs" / "bad.md").write_text(_BAD, encoding="utf-8")
    assert main([]) == 1
    assert "Above the ceiling: docs." in capsys.readouterr().out


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
    assert "Above the ceiling: other." in capsys.readouterr().out


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
    ("no_subject", "listed", "exceeds"), [(5, 7, False), (6, 0, True), (0, 8, True), (0, 0, False)]
)
def test_a_ceiling_holds_for_both_numbers(no_subject: int, listed: int, exceeds: bool) -> None:
    count = _count("jobs", no_subject=no_subject, listed=listed)
    assert count.exceeds(Ceiling(no_subject=5.0, listed=7.0)) is exceeds


def test_ceilings_only_go_down(tmp_path: Path) -> None:
    before = {
        "jobs": Ceiling(no_subject=9.0, listed=9.0),
        "chat": Ceiling(no_subject=3.0, listed=3.0),
        "docs": Ceiling(no_subject=3.0, listed=3.0),
    }
    counts = [
        _count("jobs", no_subject=4, listed=12),  # better in one, worse in the other
        _count("chat", no_subject=0, listed=1),  # within the limit
        _count("docs", no_subject=3, listed=3),
        _count("agents", no_subject=50, listed=50),  # never had a ceiling
    ]
    write_ceilings(lowered(counts, before), tmp_path / "ceilings.toml")
    assert read_ceilings(tmp_path / "ceilings.toml") == {
        "jobs": Ceiling(no_subject=4.0, listed=9.0),
        "docs": Ceiling(no_subject=3.0, listed=3.0),
    }


def test_the_file_of_ceilings_goes_with_the_last_of_them(tmp_path: Path) -> None:
    path = tmp_path / "ceilings.toml"
    write_ceilings({"jobs": Ceiling(no_subject=2.0)}, path)
    assert path.exists()
    write_ceilings(lowered([_count("jobs", no_subject=1, listed=0)], read_ceilings(path)), path)
    assert not path.exists()
    assert read_ceilings(path) == {}


def test_every_ceiling_belongs_to_a_room_and_is_above_the_limit() -> None:
    ceilings = read_ceilings()
    assert set(ceilings) <= set(ROOMS)
    assert [room for room, row in ceilings.items() if row == Ceiling()] == []
