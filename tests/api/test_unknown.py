"""A query parameter or a body that a call does not take is refused by name; the calls of the originals ignore both."""

from __future__ import annotations

from tests.api.contract import operation_of
from tests.api.mounts import both_mounts
from tests.api.people import Live, Person
from tests.api.routes import ROUTES, Route

_OURS = [route for route in ROUTES if route.scopes and not route.token_in_query and not route.by_system]
_ORIGINALS = [route for route in ROUTES if route not in _OURS]
_BODILESS = [
    route for route in _OURS if route.method != "GET" and "requestBody" not in (operation_of(*route.key) or {})
]


def _path(route: Route) -> str:
    return route.filled(agent_id="no", job_id="no", name="no", user_id="no")[0].partition("?")[0]


def _takes_wait(route: Route) -> bool:
    return any(one["name"] == "wait" for one in (operation_of(*route.key) or {}).get("parameters", ()))


@both_mounts
def test_a_query_parameter_that_a_call_does_not_have_is_refused(live: Live, live_alice: Person) -> None:
    assert len(_OURS) > 60
    wrong = {}
    for route in _OURS:
        answer = live(route.method, f"{_path(route)}?wiat=1", {}, token=live_alice.full)
        meant = " Did you mean wait?" if _takes_wait(route) else ""
        if (answer.status, answer.body["message"]) != (400, f"wiat is not a query parameter here.{meant}"):
            wrong[route.key] = answer
    assert not wrong


@both_mounts
def test_the_calls_of_the_originals_ignore_it(live: Live, live_alice: Person) -> None:
    assert len(_ORIGINALS) > 30
    agent = live_alice.add_agent()
    wrong = {}
    for route in _ORIGINALS:
        answer = live(
            route.method, f"{_path(route)}?wiat=1", {}, token=live_alice.full if route.scopes else agent.token
        )
        if "query parameter" in ((answer.body or {}).get("message") or ""):
            wrong[route.key] = answer
    assert not wrong


@both_mounts
def test_a_body_that_a_call_does_not_take_is_refused(live: Live, live_alice: Person) -> None:
    assert len(_BODILESS) > 15
    wrong = {}
    for route in _BODILESS:
        refused = live(route.method, _path(route), {"force": True}, token=live_alice.full)
        # Some clients send an empty object with every call.
        taken = live(route.method, _path(route), {}, token=live_alice.full)
        said = (taken.body or {}).get("message") or ""
        if (refused.status, refused.body["message"]) != (400, "This call takes no body.") or "body" in said:
            wrong[route.key] = refused, taken
    assert not wrong
