"""Fixtures: alice owns, bob is staff, charlie must see nothing; in this process and on live servers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import pytest

from tests.api.people import Live, Person, new_person
from tests.lanes.live import LiveServer


@pytest.fixture
def alice(db: None) -> Person:
    """The owner."""
    return new_person("alice")


@pytest.fixture
def bob(db: None) -> Person:
    """Staff, which gives no access to other users' things in the API."""
    return new_person("bob", staff=True)


@pytest.fixture
def charlie(db: None) -> Person:
    """Another user, who must see nothing."""
    return new_person("charlie")


# One process creates all users, because each start of Django takes a second.
_MINT = """
import json
from accounts.models import TokenScope
from accounts.services.tokens import mint_user_token
from accounts.services.users import get_or_create_user
print(json.dumps({
    name: {
        scope: mint_user_token(user=get_or_create_user(username=name), scope=scope, actor="test")
        for scope in TokenScope.values
    }
    for name in ("alice", "charlie")
}))
"""


@pytest.fixture(scope="session")
def live_people_of() -> Callable[[Live], dict[str, Person]]:
    """The people of a live server, created once per server."""

    @functools.cache
    def people(process: LiveServer) -> dict[str, Person]:
        minted = json.loads(process.manage("shell", "--no-imports", "--command", _MINT))
        return {name: Person(api=Live(process), username=name, **tokens) for name, tokens in minted.items()}

    return lambda live: people(live.process)


@pytest.fixture
def live(live: LiveServer) -> Live:
    """The live server, whose answers are checked against the schema."""
    return Live(live)


@pytest.fixture
def live_people(live: Live, live_people_of: Callable[[Live], dict[str, Person]]) -> dict[str, Person]:
    """The people of that server."""
    return live_people_of(live)


@pytest.fixture
def live_alice(live_people: dict[str, Person]) -> Person:
    """The owner, on the live server."""
    return live_people["alice"]


@pytest.fixture
def live_charlie(live_people: dict[str, Person]) -> Person:
    """Another user, who must see nothing, on the live server."""
    return live_people["charlie"]
