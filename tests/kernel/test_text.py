"""Cutting and comparing text; ids; JSON from untrusted clients; addresses behind proxies."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import InvalidRequest
from kernel.http.addresses import caller_address
from kernel.ids import is_id, new_id, occurrence_id
from kernel.strictjson import parse_object
from kernel.text import Unit, cut, keep_head_and_tail, name_key, size_in, split, unstorable_character

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)


@given(TEXT, st.integers(120, 400))
def test_what_is_kept_fits_and_is_head_and_tail(text: str, limit: int) -> None:
    kept = keep_head_and_tail(text, limit_bytes=limit)
    size = len(text.encode())
    assert (kept.size_bytes, kept.truncated) == (size, size > limit)
    assert len(kept.text.encode()) <= limit
    if kept.truncated:
        head, _, rest = kept.text.partition("\n… ")
        assert text.startswith(head)
        assert text.endswith(rest.partition(" …\n")[2])
    else:
        assert kept.text == text


# Characters of several code points, and heaps that are none.
DRAWN = st.lists(
    st.sampled_from(["a", "好", " ", "\n", "\r\n", "é", "👍🏽", "👨‍👩‍👧", "🇨🇳", "❤️", "ก็", "a" + "\u0301" * 40]),
    max_size=60,
)
UNITS: st.SearchStrategy[Unit] = st.sampled_from(["bytes", "characters"])


@given(DRAWN, st.integers(0, 200), UNITS)
def test_what_is_cut_fits_and_ends_between_characters(drawn: list[str], limit: int, unit: Unit) -> None:
    text = "".join(drawn)
    kept = cut(text, limit, unit)
    assert text.startswith(kept)
    assert size_in(kept, unit) <= limit
    ends = {len("".join(drawn[:number])) for number in range(len(drawn) + 1)}
    heaps = any(len(one) > 32 for one in drawn)
    flags = "🇨🇳🇨🇳" in text  # a heap of flags is parted by counting back 32 letters
    first = len(drawn[0]) if drawn else 0
    assert len(kept) in ends or heaps or flags or size_in(text[:first], unit) > limit


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | DRAWN.map("".join), st.integers(4, 80), UNITS)
def test_pieces_fit_and_are_the_text_again(text: str, limit: int, unit: Unit) -> None:
    pieces = split(text, limit, unit)
    assert "".join(pieces) == text
    assert all(0 < size_in(piece, unit) <= limit for piece in pieces)


@pytest.mark.parametrize(
    ("text", "limit", "unit", "kept"),
    [
        ("好好", 5, "bytes", "好"),
        ("ab👨‍👩‍👧", 6, "characters", "ab"),
        ("a👍🏽", 2, "characters", "a"),
        ("🇨🇳🇩🇪", 3, "characters", "🇨🇳"),
        ("👨‍👩‍👧", 3, "characters", "👨‍👩"),
        ("a", 0, "bytes", ""),
    ],
)
def test_a_character_stays_whole_where_it_can(text: str, limit: int, unit: Unit, kept: str) -> None:
    assert cut(text, limit, unit) == kept


def test_pieces_end_with_lines_where_they_can() -> None:
    assert split("first line\nsecond line\nx", 14, "bytes") == ["first line\n", "second line\nx"]
    assert split("one two three", 9, "characters") == ["one two ", "three"]
    with pytest.raises(ValueError, match="limit"):
        split("好", 3, "bytes")


@given(TEXT)
def test_a_name_key_is_its_own_key(text: str) -> None:
    assert name_key(name_key(text)) == name_key(text)


@pytest.mark.parametrize(("text", "found"), [("a\x00", "U+0000"), ("\udc80", "U+DC80"), ("好😀", None)])
def test_what_a_database_refuses_is_named(text: str, found: str | None) -> None:
    assert unstorable_character(text) == found


def test_ids_of_one_process_rise() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert all(map(is_id, ids))
    assert occurrence_id("a", "1") == occurrence_id("a", "1") != occurrence_id("a", "2")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXT.filter(lambda text: "\x00" not in text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["a", "[", "{", '"']), JSON, max_size=4))
def test_clean_json_is_read_as_it_is(value: dict[str, object]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":["\\udfff"]}',
        b'{"a":1,"a":2}',
        b'{"a":' + b"[" * 30 + b"]" * 30 + b"}",
        b'{"a":' + b"[" * 100_000,
        b'{"a":"\x01"}',
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b'{"a":"' + b'\\"' * 32_000,
        b'"' * 65_535,
        b'{"a":"' + b'"b' * 30_000,
    ],
)
def test_unclean_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_object(body)


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("192.0.2.1", None, 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 0, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "6.6.6.6, 203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "6.6.6.6, 203.0.113.9, 10.0.0.1", 2, "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9", 2, "192.0.2.1"),
        ("192.0.2.1", "nonsense", 1, None),
        ("192.0.2.1", None, 1, "192.0.2.1"),
        ("2001:DB8::1", None, 0, "2001:db8::1"),
        (None, None, 0, None),
    ],
)
def test_only_trusted_proxies_say_who_calls(
    peer: str | None, forwarded: str | None, proxies: int, address: str | None
) -> None:
    assert caller_address(peer, forwarded, proxies) == address
