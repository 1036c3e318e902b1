"""Every route of the API, read from the URL resolver, and the expected status for each kind of caller."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.urls import get_resolver

from kernel.http.rest import Operation

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes() -> set[tuple[str, str]]:
    """Return every (method, path pattern) of an operation."""
    return {
        (method, f"/{pattern.pattern}")
        for pattern in get_resolver().url_patterns
        for method in METHODS
        if _operation(pattern) is not None and hasattr(_operation(pattern), method.lower())
    }


def _operation(pattern: Any) -> type[Operation] | None:
    view = getattr(getattr(pattern, "callback", None), "cls", None)
    return view if isinstance(view, type) and issubclass(view, Operation) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call and its permitted callers. `good` is the status for the owner.

    `scopes`: permitted scopes of user tokens; empty if only agents may call. `by_agents`: agents may call too, for
    their owner. `by_system`: only the upstream program may call. `others`: statuses of callers for whom the path names
    a thing of their own.
    """

    method: str
    path: str
    good: int
    scopes: tuple[str, ...] = ("full", "jobs")
    by_agents: bool = False
    by_system: bool = False
    others: Mapping[str, int] = field(default_factory=dict)
    body: Any = None
    query: str = ""
    token_in_query: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """The method and the pattern of the resolver."""
        return self.method, self.path

    def filled(self, **words: str) -> tuple[str, Any]:
        """Return path and body with `job_id`, `agent_id`, … filled in, and `name`, `user`, `agent` in the text."""
        path, body = self.path + self.query, json.dumps(self.body)
        for name, word in words.items():
            path = path.replace(f"<str:{name}>", word).replace(f"{{{name}}}", word)
            body = body.replace(f"{{{name}}}", word)
        return path, json.loads(body)

    @property
    def names_a_thing(self) -> bool:
        """Whether the path has the id of a thing, so that another user could ask for it."""
        return "<" in self.path


_FULL = ("full",)
_ANY = ("full", "jobs", "messages")
_MESSAGES = ("full", "messages")
_CHANNEL = {"name": "one-more", "driver": "webhook", "settings": {"url": "https://hooks.example/x"}}
_SYSTEM_JOB = {"user_id": "{user}", "agent_id": "{agent}", "message": "x"}
# Each owner has their own entry; the agent overwrites the one of its owner.
_THEIR_OWN_STATE = {"other user": 201, "staff": 201, "agent of another user": 204, "sibling agent": 204} | {
    # An agent that does not act for its owner has its own part.
    "agent for itself": 201
}
_SHARED = {status: {"sibling agent": status, "agent for itself": 404} for status in (200, 204)}
_NOT_THEIRS = {"other user": 404, "staff": 404}
_DELAYED = {"agent": "{name}", "message": "x", "delay": "1d"}
_UNNAMED_SCHEDULE = {"agent": "{name}", "message": "x", "cron": "@daily"}
_SCHEDULE = {"name": "another", **_UNNAMED_SCHEDULE}
_JOB = {"agent": "{name}", "message": "x", "ttl": 60}

ROUTES = (
    Route(method="GET", path="/me", good=200, scopes=_ANY),
    Route(method="POST", path="/job/add", good=201, body={"message": "{name} x"}, token_in_query=True),
    Route(method="GET", path="/job/add", good=201, query="?msg={name}%20x", token_in_query=True),
    Route(method="GET", path="/jobs", good=200),
    Route(method="POST", path="/jobs", good=201, body=_JOB),
    Route(method="GET", path="/jobs/<str:job_id>", good=200),
    Route(method="POST", path="/jobs/<str:job_id>/cancel", good=200),
    Route(method="GET", path="/jobs/<str:job_id>/log", good=200),
    *(
        Route(method=method, path=f"/message/{kind}", good=201, scopes=_MESSAGES, token_in_query=True, **how)
        for kind in ("info", "warning", "text", "auto")
        for method, how in (("POST", {"body": {"message": "x"}}), ("GET", {"query": "?msg=x"}))
    ),
    *(
        Route(method="POST", path=f"/agent/{kind}", good=202, scopes=(), body={"message": "x"})
        for kind in ("message/info", "message/warning", "message/text", "message/auto", "info", "warning", "kf")
    ),
    Route(method="GET", path="/messages", good=200, scopes=_FULL),
    Route(method="POST", path="/messages", good=201, scopes=_MESSAGES, body={"text": "x"}),
    Route(method="GET", path="/messages/<str:message_id>", good=200, scopes=_FULL),
    Route(method="DELETE", path="/messages/<str:message_id>", good=200, scopes=_FULL),
    Route(method="GET", path="/channels", good=200, scopes=_MESSAGES),
    Route(method="POST", path="/channels", good=201, scopes=_FULL, body=_CHANNEL),
    Route(method="GET", path="/channels/<str:channel_id>", good=200, scopes=_FULL),
    Route(method="PATCH", path="/channels/<str:channel_id>", good=200, scopes=_FULL, body={"position": 1}),
    Route(method="DELETE", path="/channels/<str:channel_id>", good=204, scopes=_FULL),
    Route(method="POST", path="/channels/<str:channel_id>/test", good=201, scopes=_FULL),
    Route(method="POST", path="/channels/<str:channel_id>/confirmation", good=200, scopes=_FULL),
    Route(method="GET", path="/deliveries", good=200, scopes=_FULL),
    Route(method="POST", path="/deliveries/<str:delivery_id>/replay", good=200, scopes=_FULL),
    Route(method="GET", path="/callbacks/secret", good=200, scopes=_FULL),
    Route(method="POST", path="/callbacks/secret", good=201, scopes=_FULL),
    Route(method="GET", path="/state", good=200, by_agents=True),
    Route(
        method="GET",
        path="/state/<str:name>",
        good=200,
        by_agents=True,
        others=_SHARED[200],
    ),
    Route(method="PUT", path="/state/<str:name>", good=204, by_agents=True, body={}, others=_THEIR_OWN_STATE),
    Route(
        method="DELETE",
        path="/state/<str:name>",
        good=204,
        by_agents=True,
        others=_SHARED[204],
    ),
    Route(method="GET", path="/queues", good=200),
    Route(method="GET", path="/queues/<str:name>", good=200),
    Route(method="PUT", path="/queues/<str:name>", good=200, body={}, others={"other user": 201, "staff": 201}),
    Route(method="DELETE", path="/queues/<str:name>", good=409),
    Route(method="POST", path="/queues/<str:name>/jobs", good=201, body={"message": "x"}),
    Route(method="POST", path="/queues/<str:name>/jobs/<str:pulled_id>/ack", good=200, body={"ok": True, "offer": 1}),
    Route(method="POST", path="/queues/<str:name>/jobs/<str:pulled_id>/extend", good=200, body={"offer": 1}),
    Route(method="GET", path="/queues/<str:name>/next", good=204),
    Route(method="POST", path="/queues/<str:name>/pause", good=200),
    Route(method="POST", path="/queues/<str:name>/resume", good=200),
    Route(method="POST", path="/queues/<str:name>/drain", good=200),
    Route(method="POST", path="/queues/<str:name>/flush", good=200),
    Route(method="GET", path="/queues/<str:name>/dead", good=200),
    Route(method="DELETE", path="/queues/<str:name>/dead", good=200, query="?all=1"),
    Route(method="POST", path="/queues/<str:name>/dead/replay", good=200, body={"all": True}),
    Route(method="GET", path="/schedules", good=200),
    Route(method="POST", path="/schedules", good=201, body=_SCHEDULE),
    Route(method="POST", path="/schedules/preview", good=200, body={"cron": "@daily"}),
    Route(method="GET", path="/schedules/<str:schedule_id>", good=200),
    Route(method="PUT", path="/schedules/<str:schedule_id>", good=200, body=_UNNAMED_SCHEDULE),
    Route(method="PATCH", path="/schedules/<str:schedule_id>", good=200, body={"message": "x"}),
    Route(method="DELETE", path="/schedules/<str:schedule_id>", good=204),
    Route(method="POST", path="/schedules/<str:schedule_id>/run", good=201),
    Route(method="POST", path="/schedules/<str:schedule_id>/pause", good=200, body={}),
    Route(method="POST", path="/schedules/<str:schedule_id>/resume", good=200),
    Route(method="POST", path="/schedules/<str:schedule_id>/forget", good=204),
    Route(method="GET", path="/schedules/<str:schedule_id>/runs", good=200),
    Route(method="GET", path="/schedules/<str:schedule_id>/preview", good=200),
    Route(method="GET", path="/stream", good=200, scopes=_FULL),
    *(
        Route(method=method, path=f"/coyotes/<str:agent_id>{rest}", good=200, token_in_query=True)
        for methods, rest in (
            ("GET", "/"),
            ("GET POST", "/channels"),
            ("GET POST DELETE", "/channels/<str:channel>"),
            ("POST", "/channels/<str:channel>/tasks"),
            ("DELETE", "/channels/<str:channel>/tasks/<str:task_id>"),
            ("GET", "/channels/<str:channel>/failed-tasks"),
            ("GET POST DELETE", "/channels/<str:channel>/failed-tasks/<str:task_id>"),
            ("GET", "/delay-tasks"),
            ("GET DELETE", "/delay-tasks/<str:task_id>"),
        )
        for method in methods.split()
    ),
    Route(method="POST", path="/sys/jobs", good=204, by_system=True, body=_SYSTEM_JOB),
    Route(method="PUT", path="/sys/jobs/<str:job_id>/expire", good=204, by_system=True),
    Route(method="POST", path="/sys/users/<str:user_id>/agents", good=201, by_system=True, body={"name": "one-more"}),
    Route(method="GET", path="/delayed-jobs", good=200),
    Route(method="POST", path="/delayed-jobs", good=201, body=_DELAYED),
    Route(method="DELETE", path="/delayed-jobs", good=200, query="?key={delayed_key}", others=_NOT_THEIRS),
    Route(method="GET", path="/delayed-jobs/<str:delayed_id>", good=200),
    Route(method="PATCH", path="/delayed-jobs/<str:delayed_id>", good=200, body={"delay": "2d"}),
    Route(method="DELETE", path="/delayed-jobs/<str:delayed_id>", good=200),
    Route(method="POST", path="/delayed-jobs/<str:delayed_id>/fire", good=200),
    Route(method="GET", path="/agents", good=200),
    Route(method="POST", path="/agents", good=201, scopes=_FULL, body={"name": "one-more"}),
    Route(method="GET", path="/agents/<str:agent_id>", good=200),
    Route(method="PATCH", path="/agents/<str:agent_id>", good=200, scopes=_FULL, body={"remark": "x"}),
    Route(method="DELETE", path="/agents/<str:agent_id>", good=204, scopes=_FULL, query="?force=1"),
    Route(method="POST", path="/agents/<str:agent_id>/token", good=201, scopes=_FULL),
    Route(method="GET", path="/agent/job", good=204, scopes=()),
    Route(
        method="POST",
        path="/agent/job/add",
        good=201,
        scopes=(),
        body={"message": "{name} x"},
        others={"agent for itself": 403},
    ),
    Route(method="POST", path="/agent/job/delayed", good=201, scopes=(), body={"message": "x", "minutes": 1}),
    Route(method="POST", path="/agent/beat", good=200, scopes=(), body={}),
    Route(method="GET", path="/agent/whoami", good=200, scopes=()),
    Route(method="PUT", path="/agent/jobs/<str:job_id>/log", good=204, scopes=(), body={}),
    Route(method="PUT", path="/agent/jobs/<str:job_id>/running", good=204, scopes=(), body={}),
    Route(method="PUT", path="/agent/jobs/<str:job_id>/succeed", good=204, scopes=(), body={}),
    Route(method="PUT", path="/agent/jobs/<str:job_id>/fail", good=204, scopes=(), body={}),
)
"""One row for each route; a route without a row fails the tests. /status needs no token."""

OPEN_ROUTES = {("GET", "/status")}


def answers_of(route: Route) -> Iterator[tuple[str, int]]:
    """Yield (kind of caller, expected status) for every kind."""
    if route.by_system:
        yield from _answers_to_the_system_alone(route)
        return
    yield "nobody", 400
    yield "malformed", 400
    yield "wrong checksum", 400
    yield "another scheme", 400
    yield "token in the query", route.good if route.token_in_query else 400
    yield "unknown user", 401
    yield "unknown agent", 401
    yield "revoked user", 401
    yield "revoked agent", 401
    yield "frozen user", 401
    yield "agent that was deleted", 401
    for scope in ("full", "jobs", "messages"):
        yield scope, route.good if scope in route.scopes else 403
    for_agents = route.by_agents or not route.scopes
    yield "agent", route.good if for_agents else 403
    yield "disabled agent", 400 if for_agents else 403
    yield "agent of a frozen user", 400 if for_agents else 403
    # All other callers ask for things of another owner.
    by_name = "{name}" in f"{route.body}{route.query}"
    foreign = 404 if route.names_a_thing or by_name else route.good
    yield "other user", route.others.get("other user", foreign) if route.scopes else 403
    yield "staff", route.others.get("staff", foreign) if route.scopes else 403
    yield "agent of another user", route.others.get("agent of another user", foreign) if for_agents else 403
    yield "system", 400
    sibling = route.others.get("sibling agent", 404 if route.names_a_thing else route.good)
    yield "sibling agent", sibling if for_agents else 403
    for_itself = route.others.get("agent for itself", sibling)
    yield "agent for itself", for_itself if for_agents else 403


_STRANGERS = (
    "malformed", "wrong checksum", "unknown user", "unknown agent", "revoked user", "revoked agent", "frozen user",
    "agent that was deleted", "full", "jobs", "messages", "agent", "disabled agent", "agent of a frozen user",
    "other user", "staff", "agent of another user", "sibling agent", "agent for itself",
)  # fmt: skip


def _answers_to_the_system_alone(route: Route) -> Iterator[tuple[str, int]]:
    """Only the system token is accepted; every other is unknown."""
    yield from ((caller, 400) for caller in ("nobody", "another scheme", "token in the query"))
    yield from ((caller, 401) for caller in _STRANGERS)
    yield "system", route.good
