"""alice talks; the platform is the console unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import User
from accounts.services.identities import set_language
from chat.commands.interpret import answer
from chat.commands.registry import Line
from tests.factories import make_user

Say = Callable[..., str]


@pytest.fixture
def alice(db: None) -> User:
    """She owns agents and jobs, and reads English."""
    user = make_user("alice")
    set_language(user=user, language="en")
    return user


@pytest.fixture
def charlie(db: None) -> User:
    """He has nothing."""
    user = make_user("charlie")
    set_language(user=user, language="en")
    return user


@pytest.fixture
def say(alice: User) -> Say:
    """Send a line as alice and return the answer; empty means no answer."""

    def say_as(text: str, *, by: User = alice, **more: object) -> str:
        values = {"platform": "console"} | more
        reply = answer(Line(owner_id=by.pk, text=text, **values))  # type: ignore[arg-type]
        assert reply.silent == (not reply.text)
        return reply.text

    return say_as
