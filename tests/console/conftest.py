"""Three people at the console: alice owns, bob is staff, charlie must see nothing."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from tests.factories import make_user

PASSWORD = "a long and private word"


@pytest.fixture(autouse=True)
def _words_of_the_test_client_are_english(settings: pytest.FixtureRequest) -> None:
    """A test client asks for no language; tests read English unless they ask."""
    settings.LANGUAGE_CODE = "en"  # type: ignore[attr-defined]


@pytest.fixture
def alice(db: None) -> User:
    """She owns agents and jobs."""
    return make_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    """He is a superuser."""
    user = make_user("bob")
    user.is_staff = user.is_superuser = True
    user.save(update_fields=["is_staff", "is_superuser"])
    return user


@pytest.fixture
def charlie(db: None) -> User:
    """He has nothing."""
    return make_user("charlie")


def browser_of(user: User | None) -> Client:
    """A browser without JavaScript, logged in as that person."""
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


@pytest.fixture
def at_alice(alice: User) -> Client:
    """Alice's browser."""
    return browser_of(alice)


@pytest.fixture
def at_bob(bob: User) -> Client:
    """Bob's browser."""
    return browser_of(bob)


@pytest.fixture
def at_charlie(charlie: User) -> Client:
    """Charlie's browser."""
    return browser_of(charlie)


@pytest.fixture
def at_nobody(db: None) -> Client:
    """The browser of a visitor without a login."""
    return browser_of(None)
