"""The texts of notices in both languages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation

from jobs.watch.evaluate import Memory, Run, evaluate
from jobs.watch.policy import read_policy
from jobs.watch.render import render_notice
from notifications.models import TITLE_LENGTH

AT = dt.datetime(2026, 3, 1, 8, 0, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """Use English unless a test chooses another language."""
    with translation.override("en"):
        yield


def _said(data: dict[str, Any], *texts: str, code: int | None = 0, name: str = "shop") -> tuple[str, str]:
    """Evaluate runs with these texts, the last with exit code `code`; return title and text of the last notice."""
    policy, memory, notice = read_policy({"when": "change", **data}), Memory(), None
    for number, text in enumerate(texts, 1):
        last = code if number == len(texts) else 0
        run = Run(succeeded=last == 0, exit_code=last, text=text, at=AT + dt.timedelta(minutes=number))
        evaluation = evaluate(policy, memory, run)
        memory, notice = evaluation.memory, evaluation.notice
    assert notice is not None
    return render_notice(policy, notice, name)


def test_texts_of_notices() -> None:
    new = {"mode": "new-items"}
    many = "\n".join(f"line {number}" for number in range(23))
    rows = [
        (_said(new, "a", "a\nb"), ("shop: 1 new", "+ b")),
        (_said({"mode": "diff"}, "a", "b"), ("shop has changed", "+ b\n- a")),
        (_said({"mode": "value"}, "12", "13"), ("shop: 12 → 13", "+ 13\n- 12")),
        (_said({"mode": "exit"}, "x", "", code=3), ("shop: 0 → 3", "+ 3\n- 0")),
        (_said({"mode": "script"}, "free: 3", code=10), ("shop has news", "free: 3")),
        (_said({"mode": "script"}, "", code=10), ("shop has news", "There is no output.")),
        (_said({"mode": "always"}, "ok\n"), ("shop is done", "ok")),
        (_said({}, "boom", code=2), ("shop failed", "Exit code 2.\nboom")),
        (_said({}, "", code=None), ("shop failed", "It ended without an exit code.")),
        (_said({**new, "message": "{name}: {count}\n{added}{removed}"}, "", "{name}\nx"), ("shop: 2 new",
        "shop: 2\n{name}\nx")),
        (_said({**new, "message": " {removed} "}, "", "x"), ("shop: 1 new", "shop: 1 new")),
        (_said({**new, "message": "{text}"}, "", "x"), ("shop: 1 new", "x")),
        (_said(new, "", "\x1b[31mred\u202e"), ("shop: 1 new", "+ red⟨U+202E⟩")),
        (_said(new, "", "y" * 300), ("shop: 1 new", f"+ {'y' * 199}…")),
        (_said(new, "", many), ("shop: 23 new", "\n".join(f"+ line {n}" for n in range(20)) + "\n+ … and 3 more")),
    ]  # fmt: skip
    assert [(said, expected) for said, expected in rows if said != expected] == []


def test_failures_in_a_row_and_recovery() -> None:
    policy, memory = read_policy({"when": "edges", "max_tries": 3}), Memory()
    said = []
    for number in range(4):
        run = Run(succeeded=number == 3, exit_code=None, text="fine", at=AT, expired=number < 3)
        evaluation = evaluate(policy, memory, run)
        memory = evaluation.memory
        if evaluation.notice:
            said.append(render_notice(policy, evaluation.notice, "shop"))
    assert said == [
        ("shop failed 3 times in a row", "No report says how it ended.\nfine"),
        ("shop works again", "fine"),
    ]


def test_title_fits_for_any_name_and_value() -> None:
    title, text = _said({"mode": "diff", "message": "{name}"}, "a", "b", name="店" * 300)
    assert len(title) <= TITLE_LENGTH
    assert text == "店" * 60


def test_in_chinese_too() -> None:
    with translation.override("zh-hans"):
        title, _text = _said({"mode": "new-items"}, "", "x", name="少年宫")
    assert "少年宫" in title
