"""Compares every answer of the tests with docs/openapi.yaml: the status is documented, the body matches its schema."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
_ERROR = {"$ref": "#/components/schemas/Error"}


def read_yaml(text: str) -> dict[str, Any]:
    """Parse YAML with the parser in C if there is one, which needs a tenth of the time."""
    return dict(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@functools.cache
def schema() -> dict[str, Any]:
    """The checked-in schema."""
    return read_yaml(SCHEMA_FILE.read_text(encoding="utf-8"))


@functools.cache
def _templates() -> tuple[tuple[re.Pattern[str], dict[str, Any]], ...]:
    """Path patterns, those without parameters first: /agent/job/add is not a job called add."""
    paths = sorted(schema()["paths"].items(), key=lambda item: item[0].count("{"))
    return tuple((re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in paths)


def _closed(node: Any) -> Any:
    """Copy a schema so that each object with named properties refuses every other property."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    copy = {name: _closed(value) for name, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        copy.setdefault("additionalProperties", False)
    return copy


@functools.cache
def _answer_components() -> dict[str, Any]:
    return dict(_closed(schema()["components"]))


@functools.cache
def _validator(reference: str) -> Draft202012Validator:
    # `check_error` says which details an error may add.
    components = schema()["components"] if reference == _ERROR["$ref"] else _answer_components()
    return Draft202012Validator({"$ref": reference, "components": components})


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """Return the documented operation, or None."""
    bare = path.split("?")[0]
    for pattern, operations in _templates():
        if pattern.fullmatch(bare):
            found = operations.get(method.lower())
            return dict(found) if found else None
    return None


def check_error(body: Any) -> None:
    """Fail unless the body is an error of the one shape; a duplicate may add the id of the other job."""
    assert isinstance(body, dict), body
    assert set(body) == {"error", "message"} | ({"job_id"} if body["error"] == "QueueDuplicate" else set()), body
    assert re.fullmatch(r"[A-Z][A-Za-z]+", body["error"]), body
    assert body["message"], body


def check_answer(method: str, path: str, status: int, body: Any) -> None:
    """Fail unless the schema documents this answer. A path without an operation must answer with an error."""
    where = f"{method} {path} -> {status} {body!r}"[:500]
    operation = operation_of(method, path)
    if operation is None:
        assert 400 <= status < 500, where
        if method != "HEAD":
            check_error(body)
        return
    assert str(status) in operation["responses"], f"undocumented: {where}"
    content = operation["responses"][str(status)].get("content")
    if content is None:
        assert not body, where
        return
    if "application/json" not in content:  # a page, or bytes
        return
    reference = content["application/json"]["schema"]["$ref"]
    problems = [error.message for error in _validator(reference).iter_errors(body)]
    assert not problems, f"{where}: {problems[:3]}"
    if status >= 400:
        check_error(body)
