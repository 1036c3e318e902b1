"""docs/settings.md and .env.example show every setting as letserver/environment.py has it."""

from __future__ import annotations

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from letserver.environment import SETTINGS, read_environment
from tests.architecture.sources import ROOT, product

_KEY = {"LETSERVER_SECRET_KEY": "k" * 40}


def test_settings_table_is_the_code() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(LETSERVER_\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(one.name, _shown(one.default), one.meaning) for one in SETTINGS]


def _shown(default: str | None) -> str:
    return "must be set" if default is None else f"`{default}`" if default else "empty"


def test_example_file_is_the_code() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    rows = re.findall(r"^# (.+)\n# (LETSERVER_\w+)=(.*)$", text, re.MULTILINE)
    assert rows == [(one.meaning, one.name, one.default or "") for one in SETTINGS]


def test_example_file_sets_nothing() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert all(not line or line.startswith("#") for line in lines)


def test_every_default_is_a_value_that_does() -> None:
    values = read_environment(_KEY)
    assert set(values) == {one.name for one in SETTINGS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LETSERVER_PORT", "0"),
        ("LETSERVER_PORT", "65536"),
        ("LETSERVER_PORT", "http"),
        ("LETSERVER_GATEWAY", "yes"),
        ("LETSERVER_DATABASE_URL", "postgres://x"),
        ("LETSERVER_REDIS_URL", "localhost"),
        ("LETSERVER_TIME_ZONE", "Mars"),
        ("LETSERVER_LANGUAGE", "de"),
        ("LETSERVER_SECRET_KEY", "short"),
        ("LETSERVER_LEASE_SECONDS", "1"),
        ("LETSERVER_PROT", "8000"),
    ],
)
def test_wrong_value_is_told_by_name(name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        read_environment({**_KEY, name: value})


def test_secret_is_not_repeated_in_the_refusal() -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        read_environment({"LETSERVER_SECRET_KEY": "hush-hush", "LETSERVER_DATABASE_URL": "postgres://user:pass@host"})
    assert "hush" not in str(refusal.value)
    assert "pass" not in str(refusal.value)


def test_only_the_settings_read_the_environment() -> None:
    """The table is complete only if no code reads the environment elsewhere."""
    allowed = ("letserver/environment.py", "letserver/bootstrap.py", "letserver/up/", "skadi/")
    found = []
    for source in product():
        text = source.path.read_text(encoding="utf-8")
        if not source.shown.startswith(allowed) and re.search(r"os\.environ(?!\.setdefault\()|getenv", text):
            found.append(source.shown)
    assert found == []
