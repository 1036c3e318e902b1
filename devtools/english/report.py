"""Counts a room's sentences, prints the table and the worst sentences, and compares with the limits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools.english.openings import missing_subject
from devtools.english.paragraphs import Sentence
from devtools.english.words import ListedWord, listed_words

NO_SUBJECT_LIMIT = 1.0
LISTED_LIMIT = 1.0
CEILINGS = Path(__file__).with_name("ceilings.toml")
_CEILINGS_HEAD = """# Rooms that are still above the limit of 1 % and 1 per 1,000. A ceiling may only go down:
# `python -m devtools.english --lower` writes today's counts where they are lower. Delete the file when it is empty.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The most that a room may have: sentences without a subject per 100, listed words per 1,000 words."""

    no_subject: float = NO_SUBJECT_LIMIT
    listed: float = LISTED_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A sentence, and every reason why it is hard to follow."""

    sentence: Sentence
    no_subject: str | None
    listed: tuple[tuple[str, str], ...]

    @property
    def reasons(self) -> str:
        """Return the reasons in one line."""
        words = [f"'{word}' (write: {instead})" for word, instead in self.listed]
        return "; ".join([*([self.no_subject] if self.no_subject else []), *words])

    @property
    def weight(self) -> int:
        """Return how many reasons there are."""
        return len(self.listed) + bool(self.no_subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCount:
    """The numbers of a room, and its findings in the order of the files."""

    room: str
    sentences: int
    words: int
    findings: tuple[Finding, ...]

    @property
    def no_subject(self) -> float:
        """Return how many of 100 sentences open without a subject."""
        return 100 * sum(bool(found.no_subject) for found in self.findings) / max(self.sentences, 1)

    @property
    def listed(self) -> float:
        """Return how many of 1,000 words are listed ones."""
        return 1000 * sum(len(found.listed) for found in self.findings) / max(self.words, 1)

    def exceeds(self, ceiling: Ceiling) -> bool:
        """Tell whether the room is above its ceiling, to the one decimal place that the table shows."""
        return round(self.no_subject, 1) > ceiling.no_subject or round(self.listed, 1) > ceiling.listed


def count_room(room: str, sentences: Iterable[Sentence], words: tuple[ListedWord, ...]) -> RoomCount:
    """Check every sentence of a room."""
    sentences = list(sentences)
    findings = (
        Finding(sentence=sentence, no_subject=missing_subject(sentence), listed=tuple(listed_words(sentence, words)))
        for sentence in sentences
    )
    return RoomCount(
        room=room,
        sentences=len(sentences),
        words=sum(sentence.words for sentence in sentences),
        findings=tuple(found for found in findings if found.weight),
    )


def read_ceilings(path: Path = CEILINGS) -> dict[str, Ceiling]:
    """Read the ceilings by room; without the file every room has the limit."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {room: Ceiling(**row) for room, row in tomllib.load(file).items()}


def lowered(counts: Iterable[RoomCount], ceilings: dict[str, Ceiling]) -> dict[str, Ceiling]:
    """Return the ceilings brought down to the counts. None rises, and a room at the limit needs none any longer."""
    lower = {}
    for count in counts:
        old = ceilings.get(count.room, Ceiling())
        new = Ceiling(
            no_subject=max(NO_SUBJECT_LIMIT, min(old.no_subject, round(count.no_subject, 1))),
            listed=max(LISTED_LIMIT, min(old.listed, round(count.listed, 1))),
        )
        if new != Ceiling():
            lower[count.room] = new
    return lower


def write_ceilings(ceilings: dict[str, Ceiling], path: Path = CEILINGS) -> None:
    """Write the file, or delete it if no room needs a ceiling."""
    if not ceilings:
        path.unlink(missing_ok=True)
        return
    rows = [f"[{room}]\nno_subject = {row.no_subject}\nlisted = {row.listed}\n" for room, row in ceilings.items()]
    path.write_text("\n".join([_CEILINGS_HEAD, *rows]), encoding="utf-8")


def table(counts: Iterable[RoomCount], ceilings: dict[str, Ceiling]) -> Iterator[str]:
    """Yield the lines of the table, a room each; a room above its ceiling has a mark."""
    yield f"{'room':<16}{'sentences':>10}{'no subject %':>14}{'ceiling':>9}{'listed /1,000':>15}{'ceiling':>9}"
    for count in counts:
        ceiling = ceilings.get(count.room, Ceiling())
        mark = "  above" if count.exceeds(ceiling) else ""
        yield (
            f"{count.room:<16}{count.sentences:>10}{count.no_subject:>14.1f}{ceiling.no_subject:>9.1f}"
            f"{count.listed:>15.1f}{ceiling.listed:>9.1f}{mark}"
        )


def worst(counts: Iterable[RoomCount], number: int | None) -> Iterator[str]:
    """Yield the sentences with the most reasons, `number` of them or all, in the order of the files."""
    findings = [found for count in counts for found in count.findings]
    if number is not None:
        findings = sorted(findings, key=lambda found: -found.weight)[:number]
    for found in findings:
        sentence = found.sentence
        yield f"{sentence.path}:{sentence.line}: {sentence.text}\n    {found.reasons}"
