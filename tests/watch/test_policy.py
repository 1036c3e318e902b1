"""Policies as JSON: valid ones, refusals by field name, and the bounded cost of untrusted expressions."""

from __future__ import annotations

import json
import random
import re
import time
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jobs.watch.extract import COMPARED_CHARACTERS, extract, first_number
from jobs.watch.patterns import POSITIONS_LIMIT, SETS_LIMIT, Patterns
from jobs.watch.policy import Mode, NotifyPolicy, When, path_steps, policy_json, read_policy
from kernel.errors import InvalidRequest

WHOLE = {
    "when": "change", "mode": "value", "key": "a.b[0]", "path": "a.b[-1].c", "ignore": ["^#", r"\d\d:\d\d"],
    "forget_seconds": 60, "empty": "fail", "confirm": 2, "first": "notify", "above": 3, "below": -1.5, "delta": 0.1,
    "max_tries": 3, "cooldown_seconds": 600, "level": "warning", "mention": ["all", "13800000000"],
    "channels": ["robot"], "message": "{name}: 有 {count} 个新名额\n{added}{removed}{text} {} {a b}",
}  # fmt: skip


def test_policy_goes_to_json_and_back() -> None:
    for data in ({}, WHOLE, {"mode": "json", "path": "x"}):
        policy = read_policy(data)
        written = policy_json(policy)
        assert read_policy(json.loads(json.dumps(written))) == policy
        assert read_policy(written) == policy
    assert read_policy(WHOLE).mention == ("@all", "13800000000")
    assert read_policy({"mode": None, "ignore": None}) == NotifyPolicy(when=When.EDGES, mode=Mode.DIFF)


BAD: list[tuple[Any, str]] = [
    (None, "notify"), ([], "notify"), ("change", "notify"),
    ({"ingore": []}, "ingore"),
    ({"when": "never"}, "when"), ({"when": ["change"]}, "when"), ({"mode": 1}, "mode"), ({"empty": "x"}, "empty"),
    ({"first": True}, "first"), ({"level": "INFO"}, "level"),
    ({"mode": "json"}, "path"), ({"path": "a..b"}, "path"), ({"path": "a[x]"}, "path"), ({"path": ".a"}, "path"),
    ({"path": "a[0]b"}, "path"), ({"path": "a.[0]"}, "path"), ({"path": "x" * 201}, "path"), ({"key": 1}, "key"),
    ({"ignore": "^#"}, "ignore"), ({"ignore": [1]}, "ignore[0]"), ({"ignore": ["a", "("]}, "ignore[1]"),
    ({"ignore": ["a"] * 21}, "ignore"), ({"ignore": ["x" * 201]}, "ignore[0]"), ({"ignore": [""]}, "ignore"),
    ({"ignore": ["(?=a)"]}, "ignore[0]"), ({"ignore": [r"(a)\1"]}, "ignore[0]"), ({"ignore": ["a{300}"]}, "ignore[0]"),
    ({"forget_seconds": 0}, "forget_seconds"), ({"confirm": 0}, "confirm"), ({"confirm": True}, "confirm"),
    ({"confirm": 1.5}, "confirm"), ({"max_tries": 1001}, "max_tries"), ({"cooldown_seconds": -1}, "cooldown_seconds"),
    ({"above": 1}, "above"), ({"mode": "value", "above": "1"}, "above"), ({"mode": "value", "below": True}, "below"),
    ({"mode": "value", "above": float("nan")}, "above"), ({"mode": "value", "above": 10**400}, "above"),
    ({"mode": "value", "delta": 0}, "delta"),
    ({"mention": ["x" * 65]}, "mention[0]"), ({"mention": "all"}, "mention"), ({"channels": ["a", " "]}, "channels[1]"),
    ({"message": "{nmae}"}, "message"), ({"message": "x" * 2001}, "message"), ({"message": "\x00"}, "U+0000"),
]  # fmt: skip


def test_an_invalid_field_is_refused_by_its_name() -> None:
    for data, name in BAD:
        with pytest.raises(InvalidRequest, match=re.escape(name)):
            read_policy(data)


def test_paths() -> None:
    assert path_steps("a.b[0].c") == ["a", "b", 0, "c"]
    assert path_steps("[0][-1].店 铺") == [0, -1, "店 铺"]
    assert path_steps("") == []


def test_first_number() -> None:
    for text, number in (
        ("x 12 y 13", "12"), ("-3.50", "-3.50"), ("¥1,234.56", "1234.56"), ("\u22125", "-5"), ("2026-03-01", "2026"),
        ("a-5", "5"), ("+7%", "7"), ("1,2", "1"), ("12,345,67", "12345"), ("0.1.2", "0.1"), ("none", "None"),
        ("1e9", "1"), ("v.5", "5"),
    ):  # fmt: skip
        assert str(first_number(text)) == number, text


DEADLY = (
    "(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*)*x", "(a?){30}a{30}x", "(x+x+)+y", "((a*)*)*b", ".*.*.*.*.*.*.*.*=",
    "(a|b|ab)*c", "(a|b)*a(a|b){60}c", r"(\w+\s*)+!", "(a{0,9}){0,9}$z", "^(([a-z])+.)+[A-Z]([a-z])+$",
)  # fmt: skip


def test_expressions_that_never_end_elsewhere_end_here() -> None:
    """Worst-case inputs of an eighth of the compared output. Python's engine would not finish one line."""
    lines = ["a" * 1000, "ab" * 500, "x" * 1000, "a " * 500] * (COMPARED_CHARACTERS // 8 // 4000)
    for expression in DEADLY:
        policy = read_policy({"ignore": [expression]})
        began = time.process_time()
        extract(policy, text="\n".join(lines), exit_code=0)
        assert time.process_time() - began < 2.5, expression


EXPRESSION = st.recursive(
    st.sampled_from(
        [
            "a",
            "b",
            "7",
            "é",
            ".",
            r"\d",
            r"\w",
            r"\s",
            r"\.",
            "[ab]",
            "[^a]",
            "[]x-]",
            "^",
            "$",
            r"\b",
            "é",
            "",
            "]",
            "}",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,3}", "{,2}", "{2,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(EXPRESSION, st.booleans(), st.lists(st.text("abAB7éÉ .x-]}", max_size=8), max_size=4))
@example("^$", False, [""])
@example(r"a\b", False, ["a", "ab"])
def test_expressions_match_what_pythons_match(expression: str, ignore_case: bool, lines: list[str]) -> None:
    expression = f"(?i){expression}" if ignore_case else expression
    assume(len(expression) <= 200)
    theirs = re.compile(expression)
    try:
        ours = Patterns([expression, "nothing has this"])
    except InvalidRequest:
        assume(False)
    for line in lines:
        assert ours.found_in(line) == (theirs.search(line) is not None), (expression, line)


class _Counted(Patterns):
    """Counts its steps, and the positions whose successors it had to find."""

    steps = found = 0

    def _step(self, state: int, before: str, after: str, letter: str) -> int:
        self.steps += 1
        return super()._step(state, before, after, letter)

    def _behind_all(self, bits: int, first: int, before: str, after: str) -> int:
        self.found += 1
        return super()._behind_all(bits, first, before, after)


@pytest.mark.parametrize(
    ("expression", "letters"),
    [(".*a.{90}b.{90}c", "ab"), (r"(\w|.).{150}\d", "中文字"), (".{60}Z", "中文字"), (r"(a?\b){10}(a*b*){10}c", "ab ")],
)
def test_dear_expressions_take_one_step_a_letter_and_a_bounded_table(expression: str, letters: str) -> None:
    patterns = _Counted([expression])
    chance = random.Random(1)
    # Ten times the text that an evaluation reads would take long; the count shows that the work grows with the text.
    lines = ["".join(chance.choices(letters, k=999)) for _ in range(20)]
    assert not any(patterns.found_in(line) for line in lines)
    assert patterns.steps <= sum(map(len, lines))
    # A table has 256 rows for each eight positions, and each pair of kinds of neighbours has a table of its own.
    width = POSITIONS_LIMIT // 8 + 1
    assert patterns.found <= 9 * 256 * width


def test_expressions_with_ten_times_the_classes_are_refused() -> None:
    def classes(count: int) -> list[str]:
        return [f"[{chr(0x4E00 + number)}-{chr(0x9000 + number)}]" for number in range(count)]

    assert Patterns(classes(SETS_LIMIT)).found_in("中")
    for count in (SETS_LIMIT + 1, 10 * SETS_LIMIT):
        with pytest.raises(InvalidRequest):
            Patterns(classes(count))


def test_invalid_and_unsupported_expressions_are_refused() -> None:
    for expression in (
        "(", ")", "a)", "(a", "*", "a**", "a|*", "[", "[a", "[z-a]", "a{3,2}", "+", "(?P<n>a)", "(?:a", "(?<!a)b",
            "a*+", "a{2}+",
        "(?#x)", "(?s)a", "a(?i)", r"\1", r"\Z", r"\x41", r"\B", "\\", "[[a]]", "[a--b]", "((a{99}){99}){99}",
        "((){99}){99}{2}", "(" * 20 + "a" + "){9}" * 20, "(a{9}){9}" * 3,
    ):  # fmt: skip
        with pytest.raises(InvalidRequest):
            Patterns([expression])
