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
    missing = [
        f"{path}::{name}"
        for path, name in _NAMED.findall(_PAGE)
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []
