"""The API as three people and their programs use it, in process or on a live server. Every answer is checked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.test import Client

from accounts.models import TokenScope, User
from accounts.services.tokens import mint_user_token
from accounts.services.users import get_or_create_user
from tests.api.contract import check_answer
from tests.lanes.live import LiveServer

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a call. `headers` by lower-case name."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Api(Protocol):
    """A client that makes calls."""

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Make a call; options are `token`, `headers` and `raw` (bytes of the body)."""
        ...


class InProcess:
    """Django's test client, with CSRF enforced as in the product."""

    def __init__(self) -> None:
        self._client = Client(enforce_csrf_checks=True)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Call and check the answer against the schema."""
        answer = self.unchecked(method, path, body, **more)
        check_answer(method, path, answer.status, answer.body)
        return answer

    def unchecked(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Make a call without the check, for answers that the schema does not document."""
        sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        response = self._client.generic(method, path, data, content_type="application/json", headers=sent)
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        parsed = (json.loads(response.content) if is_json else response.content) if response.content else None
        return Answer(
            status=response.status_code,
            body=parsed,
            headers={name.lower(): value for name, value in response.headers.items()},
        )


class Live:
    """A real server process."""

    def __init__(self, process: LiveServer) -> None:
        self.process = process

    @property
    def netloc(self) -> str:
        """host:port."""
        return self.process.base.removeprefix("http://")

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Call and check the answer against the schema."""
        status, parsed, headers = self.process.call(method, path, body, **more)
        check_answer(method, path, status, parsed)
        return Answer(status=status, body=parsed, headers={name.lower(): value for name, value in headers.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirAgent:
    """An agent created through the API, and its token."""

    id: str
    name: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user with a token of each scope."""

    api: Api
    username: str
    full: str
    jobs: str
    messages: str

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Call with the full token."""
        return self.api(method, path, body, token=self.full, **more)

    def add_channel(self) -> Any:
        """Add a channel to an address without a server."""
        body = {"name": f"channel {next(_numbers)}", "driver": "webhook", "settings": {"url": "https://hooks.example/"}}
        made = self("POST", "/channels", body)
        assert made.status == 201, made
        return made.body

    def add_agent(self, name: str = "", *, online: bool = True, **fields: Any) -> TheirAgent:
        """Add an agent; it has polled once if `online`."""
        name = name or f"agent-{next(_numbers)}"
        made = self("POST", "/agents", {"name": name, **fields})
        assert made.status == 201, made
        agent = TheirAgent(id=made.body["id"], name=name, token=made.body["token"])
        if online:
            assert self.api("GET", "/agent/job", token=agent.token).status == 204
        return agent

    def send(self, agent: TheirAgent, message: str = "date", **fields: Any) -> dict[str, Any]:
        """Send a job that may wait for its agent; return it."""
        made = self("POST", "/jobs", {"agent": agent.id, "message": message, "ttl": 3600, **fields})
        assert made.status == 201, made
        return dict(made.body)

    def poll(self, agent: TheirAgent) -> Answer:
        """Poll with `wait`, so that a job that was just sent is found."""
        return self.api("GET", "/agent/job?wait=5", token=agent.token)

    def give(self, agent: TheirAgent, message: str = "date") -> str:
        """Send a job and let the agent claim it; return its id."""
        job = self.send(agent, message)
        taken = self.poll(agent)
        assert taken.body == {"id": job["id"], "message": message}
        return str(job["id"])


def new_person(username: str, *, staff: bool = False) -> Person:
    """Create a user in this process's database, with new tokens."""
    user = get_or_create_user(username=username)
    if staff:
        User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    tokens = {scope: mint_user_token(user=user, scope=scope, actor="test") for scope in TokenScope.values}
    return Person(
        api=InProcess(), username=username, full=tokens["full"], jobs=tokens["jobs"], messages=tokens["messages"]
    )
