"""The sources reach every failpoint of the table once, and no other."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from kernel.failpoints import ERROR_POINTS, POINTS
from skadi import failpoints as agents
from tests.architecture.sources import APART, product


def _reached(*, by_agent: bool) -> Iterator[str]:
    """Give the name of every point that the sources reach, alone or in a pair around a commit."""
    for source in product():
        if (source.app == APART) != by_agent:
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).removeprefix("failpoints.")
            if called in ("reach", "named_transaction"):
                name = node.args[0]
                if source.shown == "kernel/transactions.py" and not isinstance(name, ast.Constant):
                    continue  # named_transaction builds the names of its pair here
                assert isinstance(name, ast.Constant), f"{source.shown}:{node.lineno}: a name that a reader can find"
                pair = (f"{name.value}.before_commit", f"{name.value}.after_commit")
                yield from (str(name.value),) if called == "reach" else pair


def test_every_point_of_the_table_is_reached_in_one_place_and_every_place_is_in_the_table() -> None:
    assert Counter(_reached(by_agent=False)) == Counter(dict.fromkeys(POINTS | ERROR_POINTS, 1))
    assert Counter(_reached(by_agent=True)) == Counter(dict.fromkeys(agents.POINTS, 1))


def test_every_point_has_a_sentence() -> None:
    assert all(
        sentence.endswith(".") for sentence in [*POINTS.values(), *ERROR_POINTS.values(), *agents.POINTS.values()]
    )
