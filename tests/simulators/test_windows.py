"""Customer-service credit: the window that is spent, its end, and both ways to merge windows."""

from __future__ import annotations

import pytest

from devtools.simulator.clock import Clock, Pace
from devtools.simulator.windows import DEFAULT, Credit, Rules

pytestmark = pytest.mark.sqlite_only


def _spend(credit: Credit) -> str:
    code = credit.refusal()
    if not code:
        credit.spend()
    return code


def test_without_an_action_there_is_no_credit() -> None:
    assert Credit(Clock()).refusal() == "45015"


def test_text_opens_twenty_for_two_days() -> None:
    clock = Clock()
    credit = Credit(clock)
    credit.earn("text", DEFAULT)
    assert [_spend(credit) for _ in range(21)] == [""] * 20 + ["45047"]
    clock.advance(48 * 3600 - 60)
    assert credit.refusal() == "45047"
    clock.advance(61)
    assert credit.refusal() == "45015"


def test_the_next_text_opens_a_full_window() -> None:
    clock = Clock()
    credit = Credit(clock)
    rules = Rules.of({"text": 5})
    credit.earn("text", rules)
    credit.spend()
    clock.advance(3600)
    credit.earn("text", rules)
    assert credit.left == 5
    clock.advance(48 * 3600 - 1800)
    assert credit.left == 5


def test_the_window_that_ends_first_is_spent_first() -> None:
    clock = Clock()
    credit = Credit(clock)
    credit.earn("text", DEFAULT)
    credit.earn("menu", DEFAULT)
    for _ in range(4):
        credit.spend()
    assert [(window["kind"], window["left"]) for window in credit.shown()] == [("text", 19), ("menu", 0)]
    clock.advance(61)
    assert credit.left == 19


def test_with_replace_only_the_newest_window_holds() -> None:
    clock = Clock()
    credit = Credit(clock)
    rules = Rules.of({"merge": "replace"})
    credit.earn("text", rules)
    credit.earn("menu", rules)
    assert credit.left == 3
    clock.advance(61)
    assert credit.refusal() == "45015"


@pytest.mark.parametrize("options", [{"text": "5"}, {"pay": 3}, {"merge": "sum"}, {"text": [5]}])
def test_rules_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rules|number"):
        Rules.of(options)


def test_pace_returns_how_long_to_wait() -> None:
    clock = Clock()
    pace = Pace.of(clock, 2, 60)
    assert [pace.take("a") for _ in range(2)] == [0, 0]
    assert 59 < pace.take("a") <= 60
    assert pace.take("b") == 0
    clock.advance(61)
    assert pace.take("a") == 0


def test_day_ends_at_midnight_in_beijing() -> None:
    clock = Clock()
    before = clock.day()
    clock.advance(clock.until_tomorrow() - clock.now() + 1)
    assert clock.day() > before
