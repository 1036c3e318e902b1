"""Every promise of docs/guarantees.md names a test that exists."""

from __future__ import annotations

import re

from tests.architecture.sources import ROOT

_PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_promise_names_a_test_that_exists() -> None:
    promises = re.findall(r"^\*\*.+?(?=\n\n)", _PAGE.split("## What you cannot")[0], re.MULTILINE | re.DOTALL)
    assert len(promises) >= 16
    assert [promise for promise in promises if not _NAMED.search(promise)] == []
    assert _missing(_PAGE) == []


def test_every_row_of_the_threat_model_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 18
    assert [row for row in rows if not _NAMED.search(row)] == []
    assert _missing(page) == []


def _missing(page: str) -> list[str]:
    return [
        f"{path}::{name}"
        for path, name in _NAMED.findall(page)
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
