"""Finds the words of `words.toml` in a sentence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools.english.paragraphs import Sentence

_LIST = Path(__file__).with_name("words.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWord:
    """A pattern, and the words to write instead of what it matches."""

    pattern: re.Pattern[str]
    instead: str


def read_words(path: Path = _LIST) -> tuple[ListedWord, ...]:
    """Read the list. A match never touches a name of the code such as `place_id` or `jobs.place`."""
    with path.open("rb") as file:
        rows = tomllib.load(file)["word"]
    return tuple(
        ListedWord(
            pattern=re.compile(rf"(?<![\w./-])(?:{row['pattern']})(?![\w/(]|-\w|\.\w)", re.IGNORECASE),
            instead=row["instead"],
        )
        for row in rows
    )


def listed_words(sentence: Sentence, words: tuple[ListedWord, ...]) -> Iterator[tuple[str, str]]:
    """Yield each listed word that the sentence uses, with what to write instead."""
    for word in words:
        for found in word.pattern.finditer(sentence.masked):
            yield found.group(), word.instead
