"""Counts a room's sentences, prints the table and the worst sentences, and compares with the limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from devtools.english.openings import missing_subject
from devtools.english.paragraphs import Sentence
from devtools.english.words import ListedWord, listed_words

NO_SUBJECT_LIMIT = 1.0
LISTED_LIMIT = 1.0
"""The most that a room may have: sentences without a subject per 100, listed words per 1,000 words."""


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

    @property
    def is_above(self) -> bool:
        """Tell whether the room is above a limit, to the one decimal place that the table shows."""
        return round(self.no_subject, 1) > NO_SUBJECT_LIMIT or round(self.listed, 1) > LISTED_LIMIT


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


def table(counts: Iterable[RoomCount]) -> Iterator[str]:
    """Yield the lines of the table, a room each; a room above a limit has a mark."""
    yield f"{'room':<16}{'sentences':>10}{'no subject %':>14}{'listed /1,000':>15}"
    for count in counts:
        mark = "  above" if count.is_above else ""
        yield f"{count.room:<16}{count.sentences:>10}{count.no_subject:>14.1f}{count.listed:>15.1f}{mark}"


def worst(counts: Iterable[RoomCount], number: int | None) -> Iterator[str]:
    """Yield the sentences with the most reasons, `number` of them or all, in the order of the files."""
    findings = [found for count in counts for found in count.findings]
    if number is not None:
        findings = sorted(findings, key=lambda found: -found.weight)[:number]
    for found in findings:
        sentence = found.sentence
        yield f"{sentence.path}:{sentence.line}: {sentence.text}\n    {found.reasons}"
