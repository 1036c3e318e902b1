"""Rules of the code that no general linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import APART, ROOT, Source, product

_SECRET = re.compile(r"(^|_)(sig|signature|token|secret|hmac|password)$", re.IGNORECASE)


def _name(node: ast.expr) -> str:
    """The last word of what is compared: `row.token` is a token, `len(token)` is not."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _secret_comparisons(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            for side in (node.left, *node.comparators):
                if _SECRET.search(_name(side)):
                    yield f"{source.shown}:{node.lineno} compares {_name(side)}"


def test_secrets_are_not_compared_with_equals() -> None:
    """`==` stops at the first difference, and the time it took tells where (S13): use hmac.compare_digest.

    The agent program is left out: it compares its own file with an earlier version of it.
    """
    assert [found for source in product() if source.app != APART for found in _secret_comparisons(source)] == []


@pytest.mark.parametrize("text", ["a.token == b", "x != body['secret']", "csrf_token == given", "0 < hmac == other"])
def test_comparison_of_a_secret_is_found(text: str) -> None:
    broken = Source(path=ROOT / "kernel" / "broken.py", tree=ast.parse(text))
    assert list(_secret_comparisons(broken))


def _serves_people(source: Source) -> bool:
    names = set(source.path.relative_to(ROOT).with_suffix("").parts)
    return bool(names & {"api", "console", "pages"})


def _unguarded_managers(source: Source) -> Iterator[str]:
    guarded = {
        id(node.value)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr == "visible_to"
    }
    for node in ast.walk(source.tree):
        manager = isinstance(node, ast.Attribute) and node.attr in ("objects", "_default_manager", "all_objects")
        if isinstance(node, ast.Attribute) and manager and id(node) not in guarded:
            yield f"{source.shown}:{node.lineno} uses .{node.attr} without .visible_to()"


def test_what_serves_people_starts_from_visible_to() -> None:
    """A foreign row is then not there, instead of being one forgotten condition away (S18)."""
    served = [source for source in product() if _serves_people(source)]
    assert len(served) > 5
    assert [found for source in served for found in _unguarded_managers(source)] == []


def test_manager_without_visible_to_is_found() -> None:
    broken = Source(path=ROOT / "jobs" / "api" / "broken.py", tree=ast.parse("Job.objects.filter(pk=1)"))
    assert list(_unguarded_managers(broken)) == ["jobs/api/broken.py:1 uses .objects without .visible_to()"]


def _celery_delays(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.keyword) and node.arg in ("eta", "countdown"):
            yield f"{source.shown}:{node.value.lineno} sets {node.arg}"


def test_no_task_carries_a_date() -> None:
    """A due date is a row that a sweep finds, never a message that a broker may lose."""
    assert [found for source in product() for found in _celery_delays(source)] == []
