"""The diagram in the documentation shows exactly the moves of the table."""

from __future__ import annotations

import re
from pathlib import Path

from jobs.states import TRANSITIONS

_ARROW = re.compile(r"^\s+(\[\*\]|[a-z]+) --> ([a-z]+): ([a-z_]+)$", re.MULTILINE)


def test_the_diagram_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "state-machine.md").read_text(encoding="utf-8")
    drawn = [(source, target, move) for source, target, move in _ARROW.findall(page)]
    table = {
        ("[*]" if before is None else str(before), str(after), str(move))
        for move, pairs in TRANSITIONS.items()
        for before, after in pairs
    }
    assert len(drawn) == len(set(drawn)) == 21
    assert set(drawn) == table
