"""docs/chat.md lists every phrase there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chat.commands.confirm import NO, YES
from chat.commands.registry import all_commands, find_command

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "chat.md"
_ROW = re.compile(r"^\| `([^`]+)` \| (.*?) \|", re.MULTILINE)

pytestmark = pytest.mark.sqlite_only


def _documented() -> set[str]:
    phrases: set[str] = set()
    for first, others in _ROW.findall(_PAGE.read_text(encoding="utf-8")):
        said = re.sub(r" (\[?[A-Z ]{2,}\]?|zh)( .*)?$", "", first)
        phrases |= {said, *re.findall(r"`([^`]+)`", others)}
    return phrases - {"1", "AGENT", "say"}


def test_every_phrase_is_documented() -> None:
    registered = {phrase for command in all_commands() for phrase in command.phrases} | YES | NO
    documented = {phrase for phrase in _documented() if not phrase.startswith("AGENT")}
    assert registered - documented == set()
    assert {phrase for phrase in documented if not find_command(phrase.split())} - YES - NO == set()
