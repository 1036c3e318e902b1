"""Every kind of caller gets the expected status on every route, and changes no foreign row (S6, S7, S17)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from accounts.models import User, UserToken
from accounts.services.tokens import mint_user_token, revoke_user_token
from accounts.services.users import set_frozen
from accounts.tokens import digest, new_agent_token, new_user_token
from agents.models import Agent
from jobs.models import DelayedJob, Job, JobEvent, StateEntry
from notifications.models import Channel, Message
from tests.api.people import Answer, Person, TheirAgent, new_person
from tests.api.routes import OPEN_ROUTES, ROUTES, Route, answers_of, routes
from tests.lanes.live import SYS_TOKEN

# Permissions are checked in code and by queries that are the same on both databases.
pytestmark = pytest.mark.sqlite_only

_FOREIGN = ("other user", "staff", "agent of another user", "sibling agent", "agent for itself")


def test_every_route_of_the_resolver_has_a_row() -> None:
    assert routes() - OPEN_ROUTES == {route.key for route in ROUTES}
    assert len(ROUTES) == len({route.key for route in ROUTES})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """Alice's agent with a claimed job, the tokens of all callers, and the state of the database."""

    alice: Person
    agent: TheirAgent
    job_id: str
    channel_id: str
    message_id: str
    delivery_id: str
    pulled_id: str
    delayed_id: str
    schedule_id: str
    user_id: str
    tokens: dict[str, str]

    def ask(self, route: Route, caller: str) -> Answer:
        token = self.tokens.get(caller, "")
        path, body = route.filled(
            job_id=self.job_id, agent_id=self.agent.id, channel_id=self.channel_id, message_id=self.message_id,
            delivery_id=self.delivery_id, delayed_id=self.delayed_id, delayed_key="theirs",
            schedule_id=self.schedule_id, pulled_id=self.pulled_id,
            user_id=self.user_id, name=self.agent.name, user=self.user_id,
            channel="default", task_id="x",
            agent=self.agent.id,
        )  # fmt: skip
        if caller == "token in the query":
            own = self.alice.full if route.scopes else self.agent.token
            path += ("&" if "?" in path else "?") + f"token={own}"
            return self.alice.api(route.method, path, body)
        if caller == "another scheme":
            return self.alice.api(route.method, path, body, headers={"Authorization": f"Token {self.alice.full}"})
        return self.alice.api(route.method, path, body, token=token or None)

    def state(self) -> tuple[object, ...]:
        """Return the rows that other users must not be able to change."""
        agents = list(Agent.objects.order_by("pk").values_list("pk", "name", "remark", "enabled", "deleted_at"))
        jobs = list(Job.objects.order_by("pk").values_list("pk", "status", "owner_id"))
        tokens = list(UserToken.objects.order_by("pk").values_list("pk", "revoked_at"))
        kept = list(StateEntry.objects.order_by("pk").values_list("pk", "version"))
        kept += list(DelayedJob.objects.order_by("pk").values_list("pk", "state", "due_at"))
        told = Message.objects.count(), list(Channel.objects.order_by("pk").values_list("pk", "position"))
        return agents, jobs, tokens, JobEvent.objects.count(), told, kept


@pytest.fixture(autouse=True)
def _system_token(settings: Any) -> None:
    """Let the upstream program call."""
    settings.SYS_TOKEN = SYS_TOKEN


@pytest.fixture(scope="module")
def scene(module_rows: Any) -> _Scene:
    """See `_Scene`. Built once; what a test changes of it is rolled back."""
    with module_rows():
        return _built_scene(new_person("alice"), new_person("bob", staff=True), new_person("charlie"))


def _built_scene(alice: Person, bob: Person, charlie: Person) -> _Scene:
    agent = alice.add_agent("theirs", acts_for_owner=True)
    sibling, disabled, deleted = alice.add_agent(), alice.add_agent(), alice.add_agent()
    foreign = charlie.add_agent(acts_for_owner=True)
    job_id = alice.give(agent)
    assert alice("PATCH", f"/agents/{disabled.id}", {"enabled": False}).status == 200
    assert alice("DELETE", f"/agents/{deleted.id}?force=1").status == 204
    assert alice("PUT", "/state/theirs", {}).status == 201
    frozen = User.objects.create(username="frozen")
    frozen_person = Person(api=alice.api, username="frozen", jobs="", messages="", full=_token(frozen))
    frozen_agent = frozen_person.add_agent()
    set_frozen(user=frozen, frozen=True, actor="test")
    tokens = {
        "malformed": "lsu_x",
        "wrong checksum": alice.full[:-1] + ("0" if alice.full[-1] != "0" else "1"),
        "unknown user": new_user_token("full"),
        "unknown agent": new_agent_token(),
        "revoked user": _revoked(User.objects.get(username="alice")),
        "revoked agent": _replaced(alice, sibling),
        "frozen user": frozen_person.full,
        "agent of a frozen user": frozen_agent.token,
        "agent that was deleted": deleted.token,
        "system": SYS_TOKEN,
        "full": alice.full,
        "jobs": alice.jobs,
        "messages": alice.messages,
        "agent": agent.token,
        "disabled agent": disabled.token,
        "other user": charlie.full,
        "staff": bob.full,
        "agent of another user": foreign.token,
        "sibling agent": alice.add_agent(acts_for_owner=True).token,
        "agent for itself": alice.add_agent().token,
    }
    for person in (bob, charlie):
        person.add_channel()
    return _Scene(alice=alice, agent=agent, job_id=job_id, **_messages_of(alice, agent), tokens=tokens)


def _messages_of(person: Person, agent: TheirAgent) -> dict[str, str]:
    channel = person.add_channel()
    message = person("POST", "/messages", {"text": "secret text"}).body
    schedule = {"name": "theirs", "agent": agent.id, "message": "secret text", "cron": "@daily"}
    delayed = {"agent": agent.id, "message": "secret text", "delay": "1d", "key": "theirs"}
    return {
        "channel_id": channel["id"],
        "message_id": message["id"],
        "delivery_id": message["deliveries"][0]["id"],
        "schedule_id": person("POST", "/schedules", schedule).body["id"],
        "delayed_id": person("POST", "/delayed-jobs", delayed).body["id"],
        "pulled_id": _pulled_by(person),
        "user_id": person("GET", "/me").body["id"],
    }


def _pulled_by(person: Person) -> str:
    """Return the id of a job that this person has pulled from their queue."""
    assert person("PUT", "/queues/theirs", {}).status == 201
    assert person("POST", "/queues/theirs/jobs", {"message": "secret text"}).status == 201
    return str(person("GET", "/queues/theirs/next?lease=3600").body["id"])


def _token(user: User) -> str:
    return mint_user_token(user=user, scope="full", actor="test")


def _revoked(user: User) -> str:
    token = _token(user)
    revoke_user_token(token=UserToken.objects.get(digest=digest(token)), actor="test")
    return token


def _replaced(alice: Person, agent: TheirAgent) -> str:
    assert alice("POST", f"/agents/{agent.id}/token").status == 201
    return agent.token


@pytest.mark.django_db
@pytest.mark.parametrize("route", [pytest.param(route, id=" ".join(route.key)) for route in ROUTES])
def test_each_kind_of_caller_gets_what_it_must(route: Route, scene: _Scene) -> None:
    refused = [(caller, status) for caller, status in answers_of(route) if status >= 400]
    before = scene.state()
    for caller, status in refused:
        answer = scene.ask(route, caller)
        assert answer.status == status, (caller, answer)
    assert scene.state() == before
    for caller in _FOREIGN:
        assert scene.ask(route, caller).status == dict(answers_of(route))[caller], caller


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("route", "caller"),
    [
        pytest.param(route, caller, id=f"{' '.join(route.key)} {caller}")
        for route in ROUTES
        for caller, status in answers_of(route)
        if status < 400 and caller not in _FOREIGN  # the test above covers them
    ],
)
def test_each_kind_of_caller_that_may_does(caller: str, route: Route, scene: _Scene) -> None:
    assert scene.ask(route, caller).status == dict(answers_of(route))[caller]


@pytest.mark.django_db
def test_lists_show_nothing_to_other_users(scene: _Scene, charlie: Person, bob: Person) -> None:
    scene.alice.send(scene.agent, "secret text")
    for stranger in (charlie, bob):
        assert stranger("GET", "/jobs").body["items"] == []
        shown = json.dumps([stranger("GET", path).body for path in ("/agents", "/me", "/jobs", "/messages")])
        assert "theirs" not in shown
        assert "secret" not in shown
        assert stranger("GET", f"/jobs?agent={scene.agent.id}").status == 404
        assert stranger("GET", f"/jobs?agent={scene.agent.name}").status == 404


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["id", "user_id", "owner_id", "is_staff", "status", "online", "token"])
def test_read_only_field_is_refused_by_name_and_changes_nothing(field: str, scene: _Scene, charlie: Person) -> None:
    forged = {field: User.objects.get(username="charlie").pk}
    shown = scene.alice("GET", f"/agents/{scene.agent.id}").body
    for method, path, body in (
        ("POST", "/jobs", {"agent": scene.agent.name, "message": "x"}),
        ("POST", "/agents", {"name": "forged"}),
        ("PATCH", f"/agents/{scene.agent.id}", {"remark": "forged"}),
    ):
        refused = scene.alice(method, path, body | forged)
        assert (refused.status, refused.body["error"]) == (400, "InvalidRequest"), refused
        assert refused.body["message"].startswith(field)
    assert scene.alice("GET", f"/agents/{scene.agent.id}").body == shown
    assert [agent["name"] for agent in scene.alice("GET", "/agents").body["items"] if agent["name"] == "forged"] == []
