"""Compare words as people type them on phones: full-width letters, capitals, Chinese and English, typing errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kernel.text import name_key

_LONGEST_GUESS = 60
_MOST_SLIPS = 2
_SHORT_WORD = 4


def split_line(text: str) -> list[str]:
    """Return the words of a line, separated by any white space, also the full-width space."""
    return text.split()


def folded(word: str) -> str:
    """Return the form in which words of commands are compared, without width and case."""
    return name_key(word)


def is_chinese(text: str) -> bool:
    """Tell whether a text holds a Chinese character."""
    return any("\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff" for character in text)


def phrases(firsts: Sequence[str], seconds: Sequence[str]) -> tuple[str, ...]:
    """Return every phrase of a first and a second word; the phrase of the two first words comes first."""
    return tuple(f"{first} {second}" for second in seconds for first in firsts)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word at a Levenshtein distance of at most 2 (1 for a short word), or an empty text.

    If several words are at the same distance, the first one is returned.
    """
    wanted = folded(word)
    if len(wanted) > _LONGEST_GUESS:
        return ""
    best, fewest = "", (1 if len(wanted) <= _SHORT_WORD else _MOST_SLIPS) + 1
    for candidate in known:
        slips = _distance(wanted, folded(candidate), fewest)
        if slips < fewest and slips < len(candidate):
            best, fewest = candidate, slips
    return best


def _distance(one: str, other: str, enough: int) -> int:
    """Return the Levenshtein distance, or `enough` as soon as it is at least that."""
    if abs(len(one) - len(other)) >= enough:
        return enough
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        now = [row]
        for column, right in enumerate(other, 1):
            now.append(min(now[-1] + 1, before[column] + 1, before[column - 1] + (left != right)))
        if min(now) >= enough:
            return enough
        before = now
    return before[-1]
