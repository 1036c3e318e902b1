"""Finds sentences that open with a relative or noun clause, a vague pronoun or a negation instead of a subject."""

from __future__ import annotations

import re

from devtools.english.paragraphs import LABELS, Sentence

# Goes on with a sentence that an example or a formula has interrupted.
_CONTINUATION = re.compile(r"(?:which|where|whose|when)\b")
_LEAD = re.compile(r"^[\"'(\[*]+")
_FIRST_PART = re.compile(r".*?(?=[:;](?:\s|$)|$)", re.DOTALL)
_NO_COMMA = r"(?!.*,)"
_CLAUSE_STARTS = r"(?:an?|the|its?|their|there|they|we|you|he|she|no|some|somebody|someone|nobody|each|every|another)"

# Openings with their reasons, exceptions first. The first row that matches decides; an empty reason accepts.
# Patterns see the text up to the first colon or semicolon.
_OPENINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"which [^,]{1,60}? to \w", ""),
        (r"(?:who|whom|whoever|whomever|whosoever)\b", "a clause with who instead of a subject"),
        (r"whose\b", "a clause with whose instead of a subject"),
        (r"(?:what|whatever|whichever)\b", "a clause with what instead of a subject"),
        (r"which\b", "a clause with which instead of a subject"),
        (r"why\b", "a clause with why instead of a subject"),
        (r"how (?:to|many|much|long|often|far|soon|old|big|large|likely)\b", ""),
        (r"how\b(?!ever)", "a clause with how instead of a subject"),
        (r"where (?:to \w|possible|applicable|available|needed|necessary|supported)\b", ""),
        (rf"where\b{_NO_COMMA}", "a clause with where instead of a sentence"),
        (r"where\b[^,]*, (?:and|or) ", "a clause with where instead of a sentence"),
        (r"when (?:\w+ing|\w+ed|not|true|false|none|set|given|in|on|no)\b", ""),
        (rf"when {_CLAUSE_STARTS}\b(?:[^\w,]+\w+){{1,6}}\W*$", "a clause with when instead of a sentence"),
        (rf"that {_CLAUSE_STARTS}\b", "a clause with that instead of a subject"),
        (r"of (?:course|note|interest|particular)\b", ""),
        (r"(?:from|until|on|to) (?:which|when)\b", "a clause behind a preposition instead of a subject"),
        (r"of\b", "'Of ...' in front of the subject"),
        (r"(?:those|one|ones|such) (?:that|who|which|whose|whom)\b", "a pronoun with a clause instead of a noun"),
        (r"all that\b", "a pronoun with a clause instead of a noun"),
        (r"(?:nobody|no one|somebody|someone|anybody|everybody)\b", "a pronoun that leaves open who acts"),
        (
            r"(?:in|by|for|with|to|from|on|at|about|after|under|over|against|behind|before) "
            r"(?:what(?!ever|'s it)|whom|whoever|whose|those (?:that|who|whose))\b",
            "a clause behind a preposition instead of a subject",
        ),
        (
            r"not (?:the|one|those|more|of|by|from|out|that|as|every time|into|what|who)\b",
            "'Not ...' without subject and verb",
        ),
    )
)


def missing_subject(sentence: Sentence) -> str | None:
    """Return the reason why the subject is missing, None for a sentence that has one. Questions may open freely."""
    text = _LEAD.sub("", sentence.masked)
    if "?" in text:
        return None
    if _CONTINUATION.match(text) or (sentence.kind in LABELS and text[:1].islower()):
        return None
    found = _FIRST_PART.match(text)
    opening = found.group() if found else text
    for pattern, reason in _OPENINGS:
        if pattern.match(opening):
            return reason or None
    return None
