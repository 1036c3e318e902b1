"""The table of powers is true: scope x route x field, printed, and compared with docs/scopes.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import RequestFactory
from django.urls import get_resolver

from accounts.power import FIELDS, HOLDERS, Holder, Power, may
from kernel.ids import new_id
from tests.api.people import Person
from tests.api.routes import OPEN_ROUTES, ROUTES, Route, routes

# Permissions are checked in code and by queries that are the same on both databases.
pytestmark = pytest.mark.sqlite_only

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_COLUMNS = [Holder.FULL, Holder.JOBS, Holder.MESSAGES, Holder.AGENT, Holder.OWNERS_AGENT, Holder.SYSTEM, Holder.NOBODY]
_POWERLESS_WORDS = (
    "acts_for_owner agent_id alias all args argv backoff blackout calendar channels color command cron days delay "
    "distinct distinct_key driver duration enabled exit_code fallback format grace hours id idempotent ids "
    "if_exists jitter key level levels log_size max_length mentions message minutes missed name not_before offer ok "
    "only_working_days overlap paused_until position priority queue quiet_from quiet_until rate rate_key reason "
    "remark result retries retry run_at running seconds settings signal size_bytes source tag tags task text "
    "timezone title truncated ttl until url user_id wait_until width worker"
)
_POWERLESS = frozenset(_POWERLESS_WORDS.split())
"""Fields that start and reveal nothing beyond what their route does. A new field belongs here or in FIELDS."""


@cache
def _power_of(method: str, path: str) -> Power:
    """Return the power that the authentication of a route asks for."""
    pattern = next(one for one in get_resolver().url_patterns if f"/{one.pattern}" == path)
    view = pattern.callback.cls()
    view.request = RequestFactory().generic(method, "/")
    (authentication,) = view.get_authenticators()
    power: Power = authentication.power
    return power


def _may_call(holder: Holder, route: Route) -> bool:
    return may(holder, _power_of(*route.key))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_each_route_asks_for_the_power_that_its_callers_have(route: Route) -> None:
    """`ROUTES` is written by hand; test_identity_matrix compares each answer with it."""
    agents = route.by_agents or not (route.scopes or route.by_system)
    expected = {Holder(scope) for scope in route.scopes if not route.by_system}
    expected |= {Holder.AGENT, Holder.OWNERS_AGENT} if agents and not route.by_system else set()
    expected |= {Holder.SYSTEM} if route.by_system else set()
    assert {holder for holder in _COLUMNS if _may_call(holder, route)} == expected


def test_persons_at_the_console_and_in_a_chat_may_what_a_full_token_may_and_nobody_may_anything() -> None:
    for power, holders in HOLDERS.items():
        assert {may(Holder.LOGIN, power), may(Holder.CHAT, power)} == {may(Holder.FULL, power)}
        assert Holder.NOBODY not in holders
    assert set(HOLDERS) == set(Power)


def _bodies() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield method, path and top-level fields of every body in docs/openapi.yaml."""
    document = yaml.safe_load((_DOCS / "openapi.yaml").read_text())

    def fields(schema: dict[str, Any]) -> set[str]:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        found = set(schema.get("properties", {}))
        for part in (*schema.get("oneOf", ()), *schema.get("allOf", ()), *schema.get("anyOf", ())):
            found |= fields(part)
        return found | (fields(schema["items"]) if "items" in schema else set())

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield method.upper(), path, frozenset(fields(content["schema"]))


def test_each_field_of_each_body_is_in_the_table_or_known_to_give_no_power() -> None:
    unknown = {name: f"{method} {path}" for method, path, names in _bodies() for name in names}
    assert {name: where for name, where in unknown.items() if name not in FIELDS and name not in _POWERLESS} == {}


def _without_names(path: str) -> str:
    return re.sub(r"[<{][^>}]*[>}]", "{}", path)


def _cells() -> Iterator[tuple[str, Power, str, dict[Holder, bool]]]:
    """Yield a row for each route, and one for each of its fields that gives power."""
    fields = {(method, _without_names(path)): names for method, path, names in _bodies()}
    for route in sorted(ROUTES, key=lambda route: (route.path, route.method)):
        power = _power_of(*route.key)
        yield f"{route.method} {route.path}", power, "", {one: may(one, power) for one in _COLUMNS}
        for name in sorted(fields.get((route.method, _without_names(route.path)), frozenset()) & set(FIELDS)):
            allowed = {one: may(one, power) and may(one, FIELDS[name]) for one in _COLUMNS}
            yield f"{route.method} {route.path}", FIELDS[name], name, allowed


def _table() -> str:
    lines = [f"| call | field | power | {' | '.join(_COLUMNS)} |", "|---|---|---|" + ":-:|" * len(_COLUMNS)]
    for call, power, field, allowed in _cells():
        signs = " | ".join("yes" if allowed[one] else "–" for one in _COLUMNS)
        path = call.replace("<str:", "{").replace(">", "}")
        lines.append(f"| `{path}` | {f'`{field}`' if field else ''} | {power} | {signs} |")
    return "\n".join(lines)


def test_the_table_of_scopes_routes_and_fields_is_the_one_of_the_docs() -> None:
    table = _table()
    print(table)
    assert {key for key in routes() if key not in OPEN_ROUTES} == {route.key for route in ROUTES}
    assert table in (_DOCS / "scopes.md").read_text()


def test_actions_need_a_token_that_may_send_jobs(alice: Person) -> None:
    """A token for messages made its owner start jobs: the person answers with a number, and the job runs."""
    agent = alice.add_agent("nas")
    alice.add_channel()
    action = {"label": "show disk usage", "agent": agent.name, "message": "reboot"}
    refused = alice.api("POST", "/messages", {"text": "x", "actions": [action]}, token=alice.messages)
    assert (refused.status, refused.body["error"]) == (403, "Forbidden")
    assert "actions" in refused.body["message"]
    assert alice("GET", "/messages").body["items"] == []
    assert alice.api("POST", "/messages", {"text": "x"}, token=alice.messages).status == 201
    sent = alice("POST", "/messages", {"text": "x", "actions": [action]})
    assert sent.status == 201
    assert sent.body["actions"][0]["message"] == "reboot"


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_each_call_of_ours_that_takes_a_field_reads_the_table(
    name: str, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table says that only the upstream program may send the field, every call refuses it by name."""
    monkeypatch.setattr("accounts.power.FIELDS", {**FIELDS, name: Power.FEED})
    assert alice("PUT", "/queues/q", {}).status == 201
    asked = 0
    for method, path, names in _bodies():
        # The calls of the original ignore what they do not know.
        if name not in names or path.startswith(("/agent/", "/sys/", "/coyotes/")):
            continue
        filled = re.sub(r"\{[a-z_]+\}", new_id(), path.replace("{name}", "q"))
        answer = alice.api.unchecked(method, filled, {name: "x"}, token=alice.full)  # type: ignore[attr-defined]
        assert (answer.status, answer.body["error"]) == (403, "Forbidden"), (method, path, answer)
        assert name in answer.body["message"]
        asked += 1
    assert asked
