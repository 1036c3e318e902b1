"""The openings that lack a subject, and the ordinary ones that must pass."""

from __future__ import annotations

import pytest

from devtools.english.openings import missing_subject
from devtools.english.paragraphs import Kind, Paragraph

_BAD = {
    "who": "Who guesses is counted.",
    "who, with a colon": "Who: users, their tokens, the audit trail.",
    "whoever": "Whoever holds the lock rings when it lets go.",
    "whose": "Whose agent token is it.",
    "what as subject": "What was canceled is not told again.",
    "what as fragment": "What came back.",
    "whatever": "Whatever goes wrong here becomes the report.",
    "which": "Which days are worked.",
    "why": "Why the request was refused, or an empty text.",
    "how": "How people are reached.",
    "where as fragment": "Where the simulator listens.",
    "where with a second clause": "Where it runs, and what it may do.",
    "where before a semicolon": "Where it goes; of an address only the host, because the rest may be a key.",
    "when as fragment": "When it was last seen.",
    "that": "That there was a message.",
    "of what": "Of what ran before a restore, the last fifty ends are kept.",
    "of several": "Of several writers with the same `If-Match` one gets through.",
    "those that": "Those that have not ended.",
    "one that": "One that cannot be unsealed is revoked.",
    "one who": "One who asks twice gets one answer.",
    "nobody": "Nobody waits for a handler.",
    "somebody": "Somebody talks to the product.",
    "in what": "In what a platform counts: bytes of UTF-8, or code points.",
    "from which": "From which application to which user.",
    "not the": "Not the next channel where an earlier try was not answered: the service may have said that one.",
    "quoted": '"What is no id" counts as not given.',
    "emphasized": "*What is kept* can be read again.",
}
_GOOD = {
    "subject first": "A claim locks the row of the agent.",
    "imperative": "Return the agent, None if the owner has none of that name.",
    "third person": "Raises InvalidRequest for a body that is not JSON.",
    "noun phrase of a class": "A job that waits for its time.",
    "code as subject": "`None` means that the agent never polled.",
    "question": "What happens when the disk is full?",
    "condition": "Where no attempt is left, the job becomes a dead letter.",
    "where possible": "Where possible the query uses the index.",
    "time clause": "When the lease ends, the sweep offers the job again.",
    "short time clause": "When enabled messages are acknowledged late.",
    "whether": "Whether the agent is online.",
    "how many": "How many rows one sweep reads.",
    "how to": "How to change the sealing key.",
    "which with an infinitive": "Which columns to read.",
    "that with a noun": "That value is set by the worker.",
    "of course": "Of course a retry has a new id.",
    "those with a noun": "Those tests run the whole product.",
    "one with a noun": "One query reads both tables.",
    "however": "However, the lock is held for the whole transaction.",
    "whole word only": "Whosesoever is not a word that the rule for whose may match, so this sentence is fine.",
    "not all": "Not all drivers have a limit.",
    "not implemented": "Not implemented by this driver.",
}


def _missing(text: str, kind: Kind = Kind.DOCSTRING) -> str | None:
    (sentence,) = Paragraph(path="a.py", kind=kind, lines=((1, text),)).sentences()
    return missing_subject(sentence)


@pytest.mark.parametrize("text", _BAD.values(), ids=_BAD.keys())
def test_opening_without_a_subject_is_found(text: str) -> None:
    assert _missing(text)


@pytest.mark.parametrize("text", _GOOD.values(), ids=_GOOD.keys())
def test_opening_with_a_subject_passes(text: str) -> None:
    assert _missing(text) is None


def test_label_in_lower_case_may_be_a_clause() -> None:
    text = "what the service answered, with its code."
    assert _missing(text, Kind.ITEM) is None
    assert _missing(text, Kind.DOCSTRING)


def test_line_that_goes_on_after_an_example_passes() -> None:
    assert _missing("which is fast but loses precision.", Kind.COMMENT) is None


def test_the_clause_after_a_colon_does_not_excuse_the_opening() -> None:
    assert _missing("Where a chain begins: the first step that has room, and the steps behind it.")


def test_a_role_of_sphinx_does_not_end_the_opening() -> None:
    assert _missing("Where :func:`claim` returns one row, this function returns a list.") is None
