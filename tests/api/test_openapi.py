"""docs/openapi.yaml matches the code, and its pages load nothing from elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import call_command
from django.test import Client

from tests.api.contract import read_yaml, schema
from tests.api.routes import OPEN_ROUTES, ROUTES
from tests.lanes.live import LiveServer

# The schema is the same over either database.
pytestmark = pytest.mark.sqlite_only


def _operations() -> dict[tuple[str, str], dict[str, object]]:
    return {
        (method.upper(), path): operation
        for path, operations in schema()["paths"].items()
        for method, operation in operations.items()
    }


def test_checked_in_schema_is_the_one_that_the_code_draws_without_a_warning() -> None:
    out = io.StringIO()
    call_command("spectacular", "--lang", "en", "--validate", "--fail-on-warn", stdout=out)
    drawn = read_yaml(out.getvalue())
    again = (
        "docs/openapi.yaml is old: manage.py spectacular --lang en --validate --fail-on-warn --file docs/openapi.yaml"
    )
    assert drawn == schema(), again


def test_every_route_is_documented_and_nothing_else() -> None:
    rows = {route.key for route in ROUTES} | OPEN_ROUTES
    assert set(_operations()) == {(method, re.sub(r"<str:(\w+)>", r"{\1}", path)) for method, path in rows}


def test_calls_of_the_gateway_are_marked(live_on: LiveServer) -> None:
    for (method, path), operation in _operations().items():
        _status, _body, headers = live_on.call(method, re.sub(r"{\w+}", "x", path), {})
        # Django's policy allows what pages need, the gateway's allows nothing.
        by_gateway = headers["content-security-policy"].startswith("default-src 'none'")
        assert by_gateway == bool(operation.get("x-gateway")), (method, path)


def test_every_operation_documents_its_errors_and_callers() -> None:
    for key, operation in _operations().items():
        responses = operation["responses"]
        assert isinstance(responses, dict)
        assert {"400", "503"} <= set(responses), key
        if key not in OPEN_ROUTES:
            assert {"401", "403", "429"} <= set(responses), key
            assert operation["security"], key
        assert ("413" in responses) == ("requestBody" in operation), key
        assert operation["summary"], key


def test_schema_is_served() -> None:
    response = Client().get("/api/schema")
    assert response.status_code == 200
    assert response.json() == schema()


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_schema_takes_no_other_method(method: str) -> None:
    assert getattr(Client(), method)("/api/schema").status_code == 405


def test_docs_page_has_nothing_inline_and_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs")
    assert page.status_code == 200
    text = page.content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|//\w", text.replace("<!DOCTYPE", ""))
    for link in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
        file = Client().get(link)
        file.close()
        assert file.status_code == 200, link
