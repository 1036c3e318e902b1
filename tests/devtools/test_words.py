"""The listed words, each with an example, and ordinary uses that must pass."""

from __future__ import annotations

import pytest

from devtools.english.paragraphs import Kind, Paragraph
from devtools.english.words import listed_words, read_words

_BAD = {
    "in vain": "A poll that came in vain waits.",
    "anew": "The next start begins anew.",
    "once more": "Send the mail once more.",
    "whoever": "The lock tells whoever waits.",
    "nobody": "The agent polls and nobody answers.",
    "somebody else": "The row belongs to somebody else.",
    "hears": "The agent hears this within a second.",
    "told": "The owner is told at once.",
    "told of": "The owner, told of the end, agrees.",
    "said": "The limit was said before.",
    "became of": "Return what became of the job.",
    "came to its end": "A transaction came to its end.",
    "stands in": "The key stands in the file.",
    "for ever": "The row stays for ever.",
    "of late": "The robot was used of late.",
    "lest": "Lock the row lest two claims meet.",
    "ours alone": "The row is ours alone.",
    "of ours": "A fault of ours costs no attempt.",
    "wish": "Read the wish and store the row.",
    "wishes": "Compare two wishes by their digest.",
    "take a place": "A delivery takes a place in the lane.",
    "alone": "The sweep runs alone in its transaction.",
    "strangers": "Read JSON from strangers.",
    "judged": "The address is judged twice.",
    "door": "A line arrives at a door of the chat.",
    "undone": "The transaction is undone and repeated.",
    "so many": "Wait so many seconds.",
    "not one that": "cursor is not one that a list gave.",
    "made up for": "Missed runs are made up for.",
    "looks whether": "The database looks whether the row exists.",
    "question": "The check costs one question.",
    "is no": "The body is no object.",
}
_GOOD = {
    "in place": "The list is sorted in place.",
    "stands for": "The letter stands for a state.",
    "stand out": "Errors stand out in the log.",
    "told to": "The worker was told to stop.",
    "told apart": "The two cannot be told apart.",
    "wish as a verb": "Set it if you wish to override the limit.",
    "undo": "This cannot be undone.",
    "one of ours": "The token is one of ours.",
    "there is no": "There is no row for this agent.",
    "is no longer": "The agent is no longer online.",
    "hear back": "Send a line and hear back.",
    "so many that": "There are so many rows that the scan is slow.",
    "whole": "Send the whole body.",
    "code": "The field `wish` and the column `told of` are read.",
    "name of a variable": "The wish_id and the file stands.txt are read.",
}


def _found(text: str) -> list[str]:
    (sentence,) = Paragraph(path="a.py", kind=Kind.PROSE, lines=((1, text),)).sentences()
    return [word.lower() for word, _ in listed_words(sentence, read_words())]


@pytest.mark.parametrize("text", _BAD.values(), ids=_BAD.keys())
def test_listed_word_is_found(text: str) -> None:
    assert _found(text)


@pytest.mark.parametrize("text", _GOOD.values(), ids=_GOOD.keys())
def test_ordinary_use_passes(text: str) -> None:
    assert _found(text) == []


def test_every_row_of_the_list_has_an_example_here() -> None:
    sentences = [
        next(Paragraph(path="a.py", kind=Kind.PROSE, lines=((1, text),)).sentences()) for text in _BAD.values()
    ]
    unused = [
        word.pattern.pattern
        for word in read_words()
        if not any(word.pattern.search(sentence.masked) for sentence in sentences)
    ]
    assert unused == []


def test_every_row_names_what_to_write_instead() -> None:
    assert [word.pattern.pattern for word in read_words() if not word.instead.strip()] == []
