"""Fixtures: alice owns, bob is staff, charlie must see nothing; in this process and on live servers of both modes."""

from __future__ import annotations

import pytest

from accounts.models import TokenScope, User
from accounts.services.tokens import mint_user_token
from accounts.services.users import get_or_create_user
from tests.api.people import InProcess, Live, Person
from tests.lanes.live import LiveServer


def _person(username: str, *, staff: bool = False) -> Person:
    user = get_or_create_user(username=username)
    if staff:
        User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    tokens = {scope: mint_user_token(user=user, scope=scope, actor="test") for scope in TokenScope.values}
    return Person(
        api=InProcess(), username=username, full=tokens["full"], jobs=tokens["jobs"], messages=tokens["messages"]
    )


@pytest.fixture
def alice(db: None) -> Person:
    """Owns."""
    return _person("alice")


@pytest.fixture
def bob(db: None) -> Person:
    """Is staff, which gives no right over what others own in the API."""
    return _person("bob", staff=True)


@pytest.fixture
def charlie(db: None) -> Person:
    """Must see nothing."""
    return _person("charlie")


def _people_of(live: Live) -> dict[str, Person]:
    people = {}
    for username in ("alice", "charlie"):
        tokens = {
            scope: live.process.manage("create_token", username, "--scope", scope).strip()
            for scope in (TokenScope.values if username == "alice" else ["full"])
        }
        people[username] = Person(
            api=live,
            username=username,
            full=tokens["full"],
            jobs=tokens.get("jobs", ""),
            messages=tokens.get("messages", ""),
        )
    return people


_live_people: dict[str, dict[str, Person]] = {}


@pytest.fixture
def live(live: LiveServer) -> Live:
    """A live server: with the gateway in front, and with Django REST framework alone."""
    return Live(live)


@pytest.fixture
def live_people(live: Live) -> dict[str, Person]:
    """The people of that server, made once."""
    if live.process.base not in _live_people:
        _live_people[live.process.base] = _people_of(live)
    return _live_people[live.process.base]


@pytest.fixture
def live_alice(live_people: dict[str, Person]) -> Person:
    """Owns, on the live server."""
    return live_people["alice"]


@pytest.fixture
def live_charlie(live_people: dict[str, Person]) -> Person:
    """Must see nothing, on the live server."""
    return live_people["charlie"]
