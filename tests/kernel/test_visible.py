"""Untrusted text is made visible in linear time, whatever control strings it begins and never ends."""

from __future__ import annotations

import time

import pytest

from kernel.text import OUTPUT_BYTES
from kernel.visible import visible_text

pytestmark = pytest.mark.sqlite_only

_SECONDS = 10
"""CPU time. A quadratic search needs an hour for this text, a linear one a fraction of a second."""


@pytest.mark.parametrize("beginning", ["\x90", "\x98", "\x9d", "\x9e", "\x9f", "\x9b", "\x1b]", "\x1b[", "\x1bP"])
def test_control_strings_without_an_end_cost_linear_time(beginning: str) -> None:
    text = beginning * (OUTPUT_BYTES // len(beginning.encode()))
    start = time.thread_time()
    visible_text(text)
    assert time.thread_time() - start < _SECONDS


def test_a_control_string_that_ends_is_left_out() -> None:
    assert visible_text("a\x9d0;title\x07b\x90q\x9cc\x1b]8;;x\x1b\\d") == "abcd"


def test_a_string_that_never_ends_does_not_hide_the_next_one() -> None:
    assert visible_text("\x90left\x9d0;title\x07right") == "⟨U+0090⟩leftright"
