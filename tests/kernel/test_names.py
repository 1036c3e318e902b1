"""One rule for names: lengths, characters, reserved words, ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.utils.functional import lazystr

from kernel.errors import InvalidRequest
from kernel.names import NameRule

_RULE = NameRule(
    shortest=2,
    longest=8,
    longest_key=12,
    wrong_length=lazystr("length %(limit)s"),
    wrong_character=lazystr("character"),
    never="/",
    may_be_id=False,
    reserved=frozenset({"help"}),
    is_reserved=lazystr("reserved %(name)s"),
)
_ASCII = NameRule(
    longest=40, wrong_length=lazystr("length"), wrong_character=lazystr("character"), only="abc-0123456789"
)
_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize("name", ["ab", "Ab", "a.b", "服务器", "🤖🤖", "a" * 8])
def test_name_that_obeys_the_rule_is_returned(name: str) -> None:
    assert _RULE.check(name) == name


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "length 8"),
        ("a", "length 8"),
        ("a" * 9, "length 8"),
        ("a b", "character"),
        ("ab ", "character"),
        ("a\u200bb", "character"),
        ("a\x00b", "character"),
        ("a\ud800b", "character"),
        ("a/b", "character"),
        ("help", "reserved help"),
        ("ＨＥＬＰ", "reserved ＨＥＬＰ"),
    ],
)
@pytest.mark.parametrize("check", [_RULE.check, _RULE.check_key])
def test_name_that_breaks_the_rule_is_refused(check: Callable[[str], str], name: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check(name)
    assert refusal.value.message == sentence


def test_compared_form_obeys_the_rule_too() -> None:
    assert _RULE.check_key("ＡＢ") == "ab"
    assert _RULE.check_key("ŉŉŉŉŉŉ") == "ʼn" * 6  # six characters become twelve
    for name in ("a¨", "ŉŉŉŉŉŉŉ"):  # a space and an accent; fourteen characters
        with pytest.raises(InvalidRequest):
            _RULE.check_key(name)


@pytest.mark.parametrize("name", ["d", "A", "a b", "ä"])
def test_rule_with_a_list_of_characters_refuses_all_others(name: str) -> None:
    assert _ASCII.check("abc-123") == "abc-123"
    with pytest.raises(InvalidRequest):
        _ASCII.check(name)


@pytest.mark.parametrize("name", [_ID, _ID.upper()])
def test_rule_decides_whether_a_name_may_look_like_an_id(name: str) -> None:
    rule = NameRule(longest=40, wrong_length=lazystr("length"), wrong_character=lazystr("character"))
    assert rule.check(name) == name
    with pytest.raises(InvalidRequest):
        replace(rule, may_be_id=False).check(name)
