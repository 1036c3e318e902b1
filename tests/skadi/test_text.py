"""The output of a program becomes clean text, the same however its bytes arrive, and never shows a secret."""

from __future__ import annotations

import base64
import json
import shlex
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadi import textstream
from skadi.redaction import Redactor, redact, secret_values
from skadi.result import clean_output, log_of_run, report_of_answer, report_of_run
from skadi.textstream import TextStream

SECRETS = ["hunter2-Ab", "hunter2-Ab-and-more", "口令口令口令", "a\"b$c'd e", "two\nlines"]
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"\r\n",
            b"\x1b[31m",
            b"\x1b]0;t\x07",
            b"\x1b",
            "傻瓜".encode(),
            "傻瓜".encode("gb18030"),
            b"\xe5\x82",
            *[value.encode() for value in SECRETS],
            *[base64.b64encode(value.encode()) for value in SECRETS],
            b"hunter2",
            b"-Ab-and",
            b"plain text ",
        ]
    ),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *[place % (len(data) + 1) for place in places]})
    return [data[first:last] for first, last in pairwise(edges)]


def text_of(stream: TextStream, portions: list[bytes]) -> str:
    return "".join(map(stream.feed, portions))


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30).map(b"".join), st.lists(st.integers(0, 500), max_size=20), st.integers(0, 500))
def test_text_does_not_depend_on_how_the_bytes_are_cut(data: bytes, places: list[int], gap: int) -> None:
    at = gap % (len(data) + 1)
    one, many = TextStream(SECRETS), TextStream(SECRETS)
    for part in (data[:at], data[at:]):
        assert one.feed(part) == text_of(many, cut(part, places))
        assert one.gap() == many.gap()
    assert one.feed(data) == text_of(many, cut(data, places))
    assert one.finish() == many.finish()


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=60).map(b"".join), st.lists(st.integers(0, 700), max_size=20))
def test_the_pieces_of_an_endless_line_do_not_depend_on_it_either(data: bytes, places: list[int]) -> None:
    before = textstream.LINE_BYTES, textstream.ESCAPE_BYTES
    textstream.LINE_BYTES, textstream.ESCAPE_BYTES = 24, 8
    try:
        one, many = TextStream(SECRETS), TextStream(SECRETS)
        assert one.feed(data) + one.finish() == text_of(many, cut(data, places)) + many.finish()
    finally:
        textstream.LINE_BYTES, textstream.ESCAPE_BYTES = before


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(SECRETS)), max_size=12).map("".join), st.integers(1, 9))
def test_redaction_of_portions_is_that_of_the_whole(text: str, size: int) -> None:
    redactor = Redactor(SECRETS)
    portions = [text[at : at + size] for at in range(0, len(text), size)]
    parted = "".join(map(redactor.feed, portions)) + redactor.finish()
    assert parted == redact(text, SECRETS)
    for secret in SECRETS[:3]:
        assert secret not in parted


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (b"\xe5\x82\xbb\n" + "瓜".encode("gb18030") + b"\n", "傻\n瓜\n"),
        (b"\xff\xfe\x00\xff", "\ufffd\ufffd\ufffd"),
        (b"\x1b[1;31mred\x1b[0m \x1b]8;;x\x1b\\link\x1bP1\x1b\\ \x1b(Bx\x9b\n", None),
        (b"10%\r20%\r100%\r\r\ndone\r", "100%\ndone"),
        (b"50%\r100%\r\x1b[K\n", "100%\n"),
        (b"a\tb\x00\x07\x7f\x08\n\n", "a\tb\n\n"),
        ("C1: \u0085\u009b31m.".encode(), "C1: 31m."),
    ],
)
def test_clean_text(printed: bytes, text: str | None) -> None:
    found = clean_output(printed, None, ())
    if text is None:
        assert "\x1b" not in found
        assert found.startswith("red link")
    else:
        assert found == text


def test_progress_without_an_end_takes_no_memory_and_leaves_its_last_state() -> None:
    stream = TextStream()
    for number in range(200_000):
        assert stream.feed(b"\r%6d of 200000" % number) == ""
        assert len(stream.line) < 2 * textstream.LINE_BYTES
    assert stream.feed(b"\n") == "199999 of 200000\n"


def test_a_very_long_line_comes_in_pieces_of_whole_characters() -> None:
    for encoding in ("utf-8", "gb18030"):
        text = "x" + "傻瓜" * 40_000
        stream = TextStream()
        first = stream.feed(text.encode(encoding))
        assert len(first) > 10_000
        assert first + stream.finish() == text


@pytest.mark.parametrize("value", ["s3cret-Value", "pass word&more", 'it\'s "quoted" $HOME', "密码密码密码", "x" * 300])
def test_a_secret_is_hidden_in_every_form(value: str) -> None:
    pair = base64.b64encode(f"admin:{value}".encode()).decode()
    printed = [
        value,
        shlex.quote(value),
        json.dumps({"password": value}),
        json.dumps(value, ensure_ascii=False),
        repr([value]),
        base64.b64encode(value.encode()).decode(),
        base64.b64encode((value + "\n").encode()).decode(),
        base64.urlsafe_b64encode(value.encode()).decode(),
        f"Authorization: Basic {pair}",
    ]
    found = clean_output("\n".join(printed).encode(), None, [value])
    assert len(found.splitlines()) == len(printed)
    for line, before in zip(found.splitlines(), printed, strict=True):
        assert "***" in line, before
    for part in (value, value[1:-1], base64.b64encode(value.encode()).decode()[4:-4], pair[12:-4]):
        assert part not in found


def test_which_variables_are_secret() -> None:
    environment = {
        "API_TOKEN": "token-value",
        "Db_Password": " with spaces ",
        "AWS_SECRET": "secret-value",
        "SIGNING_KEY": "key-value",
        "SHORT_KEY": "12345",
        "KEYBOARD": "not-a-secret",
        "PATH": "/usr/bin",
    }
    assert secret_values(environment, "t" * 20, "") == sorted(
        ["token-value", "with spaces", "secret-value", "key-value", "t" * 20]
    )


def test_half_a_secret_at_a_gap_is_hidden_too() -> None:
    data = b"before hunter2-" + b"Ab-and-more after\n"
    text = clean_output(data, data.index(b"Ab-and"), SECRETS)
    assert text == "before ***\n... (output left out) ...\n*** after\n"


def test_a_gap_drops_halves_of_characters() -> None:
    for encoding in ("utf-8", "gb18030"):
        whole = "一二三四五六七八".encode(encoding)
        middle = len(whole) // 2
        text = clean_output(whole[: middle - 1] + whole[middle + 1 :], middle - 1, ())
        assert "\ufffd" not in text
        assert text.startswith("一二三")
        assert text.endswith("六七八")


def test_the_report_of_a_run_shows_no_secret(tmp_path: object) -> None:
    folder = str(tmp_path)
    with open(f"{folder}/out.log", "w", encoding="utf-8") as file:
        file.write("password is hunter2-Ab\n傻瓜\n")
    end = {"rc": 1, "reason": "exit", "signal": None}
    body = report_of_run(folder, end, 5.0, SECRETS)["body"]
    assert body["result"] == "run command failed, exit status 1 : password is ***\n傻瓜\n"
    assert log_of_run(folder, end, 1024, SECRETS) == "password is ***\n傻瓜\n"
    assert body["log_size"] == len("password is ***\n傻瓜\n".encode())
    end = {"rc": None, "reason": "cannot_start", "error": "hunter2-Ab: not found"}
    assert "hunter2" not in report_of_run(folder, end, 5.0, SECRETS)["body"]["result"]
    assert report_of_answer("unsupported command: hunter2-Ab", ok=False, secrets=SECRETS)["body"]["result"].endswith(
        ": ***"
    )
