"""Text from outside costs a bounded time in every place, and a text beyond the bound is refused or cut."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.architecture.sources import ROOT
from tests.bounds.places import PLACES, Place

pytestmark = pytest.mark.sqlite_only

_SECONDS = 10
"""CPU time, far above what a bounded text costs and far below what an exponential algorithm takes."""

each_place = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)


def test_the_page_shows_the_table() -> None:
    page = (ROOT / "docs" / "security-bounds.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| `([^|]+)` \| ([\d,]+) (\w+) \| (\w+) \|$", page, re.MULTILINE)
    assert rows == [(one.name, one.code, f"{one.bound:,}", one.unit, one.beyond) for one in PLACES]
    assert [one.code for one in PLACES if not (ROOT / one.code).is_file()] == []


@each_place
def test_ten_times_the_bound_is_refused_or_cut(place: Place) -> None:
    _timed(place.run, place.grow(place.bound))
    text = place.grow(10 * place.bound)
    if place.refusals:
        with pytest.raises(place.refusals):
            _timed(place.run, text)
    else:
        worked_on = _timed(place.run, text)
        assert isinstance(worked_on, int)
        assert worked_on <= place.bound


@each_place
def test_hostile_text_is_read_or_refused_in_bounded_time(place: Place) -> None:
    pieces = st.lists(st.sampled_from(place.signs), max_size=30).map("".join)
    pumped = st.builds(
        lambda head, unit, times, tail: head + unit * times + tail, pieces, pieces, st.integers(0, 60), pieces
    )

    @settings(max_examples=60, deadline=None, database=None)
    @given(pieces | pumped)
    def hold(text: str) -> None:
        try:
            _timed(place.run, text)
        except place.refusals:
            return

    hold()


def _timed(run: Callable[[str], object], text: str) -> object:
    start = time.thread_time()
    try:
        return run(text)
    finally:
        assert time.thread_time() - start < _SECONDS
