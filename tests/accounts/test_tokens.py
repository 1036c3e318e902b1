"""Tokens: random, told apart by shape, kept only as SHA-256, gone within a second (S1-S3, S5)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from accounts import tokens
from accounts.credentials import bearer_token
from accounts.models import UserToken
from accounts.services.tokens import mint_user_token, revoke_user_token
from accounts.tokens import TokenKind, digest, kind_of, new_agent_token, new_user_token
from agents.services.manage import create_agent, reset_agent_token
from kernel.errors import InvalidToken
from tests.api.people import InProcess
from tests.factories import make_agent, make_user

_MANY = pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.long)])
_LEAST_LETTERS = 50
"""At least this many of the 62 letters occur at each random position of 1,000 tokens."""
_USER_SHAPE = re.compile(r"ls[ujn]_[0-9A-Za-z]{36}")
_AGENT_SHAPE = re.compile(r"[0-9A-Za-z]{20}")


@pytest.mark.sqlite_only  # once: no database plays a part
@_MANY
def test_tokens_are_unique_random_at_every_place_and_well_formed(count: int) -> None:
    scopes = ("full", "jobs", "messages")
    minted = {new_user_token(scopes[number % 3]) for number in range(count)}
    assert len(minted) == count
    assert all(_USER_SHAPE.fullmatch(token) for token in minted)
    assert all(kind_of(token) is TokenKind.USER for token in minted)
    assert _fewest_letters(token[4:34] for token in minted) >= _LEAST_LETTERS


@pytest.mark.sqlite_only  # once: no database plays a part
@_MANY
def test_agent_tokens_are_unique_random_at_every_place_and_well_formed(count: int) -> None:
    minted = {new_agent_token() for _ in range(count)}
    assert len(minted) == count
    assert all(_AGENT_SHAPE.fullmatch(token) for token in minted)
    assert all(kind_of(token) is TokenKind.AGENT for token in minted)
    assert _fewest_letters(minted) >= _LEAST_LETTERS


def _fewest_letters(texts: Iterable[str]) -> int:
    """Return the number of different letters at the position that has the fewest."""
    return min(len(set(letters)) for letters in zip(*texts, strict=True))


def test_every_letter_of_the_alphabet_is_used_alike() -> None:
    text = "".join(new_agent_token() for _ in range(10_000))
    expected = len(text) / len(tokens.ALPHABET)
    assert len(tokens.ALPHABET) == len(set(tokens.ALPHABET)) == 62
    assert all(0.85 * expected < text.count(letter) < 1.15 * expected for letter in tokens.ALPHABET)


def test_any_changed_letter_breaks_the_checksum() -> None:
    token = new_user_token("full")
    for place in range(len(token)):
        other = "0" if token[place] != "0" else "1"
        assert kind_of(token[:place] + other + token[place + 1 :]) is TokenKind.MALFORMED


@pytest.mark.parametrize(
    "text", ["", "x", "lsu_", "0" * 19, "0" * 21, "0" * 20 + "\n", "lsx_" + "0" * 36, "é" * 20, "٣" * 20, "0" * 10_000]
)
def test_what_has_no_known_shape_is_malformed(text: str) -> None:
    assert kind_of(text) is TokenKind.MALFORMED


@pytest.mark.parametrize(
    ("header", "query"),
    [
        (None, []),
        ("", []),
        ("Bearer", []),
        ("Basic {token}", []),
        ("{token}", []),
        ("Bearer {token} {token}", []),
        ("Bearer {token}", ["{other}"]),
        (None, ["{token}", "{token}"]),
        (None, ["{token}", "{other}"]),
        (None, [""]),
        ("Bearer {token}", [""]),
    ],
)
def test_request_without_exactly_one_token_is_refused(header: str | None, query: list[str]) -> None:
    words = {"token": new_user_token("full"), "other": new_user_token("full")}
    sent = None if header is None else header.format(**words)
    with pytest.raises(InvalidToken):
        bearer_token(sent, [text.format(**words) for text in query])


def test_token_in_header_and_the_same_in_the_query_is_one_token() -> None:
    token = new_user_token("full")
    assert bearer_token(f"bearer  {token} ", [token]) == token


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/me", "/jobs", "/agents", "/agent/job"])
@pytest.mark.parametrize("token", ["lsu_" + "0" * 36, "lsu_short", "0" * 19])
def test_wrong_checksum_costs_no_query(
    token: str, path: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api = InProcess()
    with django_assert_num_queries(0):
        assert api("GET", path, token=token).status == 400


def _all_rows() -> str:
    """Every value of every table, as text."""
    with connection.cursor() as cursor:
        said = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            said.append(repr(cursor.fetchall()))
    return "\n".join(said)


@pytest.mark.django_db
def test_database_holds_digests_and_no_token(caplog: pytest.LogCaptureFixture) -> None:
    user = make_user()
    with caplog.at_level(logging.DEBUG):
        minted = [mint_user_token(user=user, scope="full", actor="test") for _ in range(50)]
        agents = [create_agent(owner=user, name=f"agent-{number}", actor="test") for number in range(25)]
        minted += [token for _agent, token in agents]
        minted += [reset_agent_token(agent=agent, actor="test") for agent, _token in agents]
    rows = _all_rows()
    assert all(digest(token) in rows for token in minted)
    assert not [token for token in minted if token in rows]
    assert not [token for token in minted if token in caplog.text]


@pytest.mark.django_db
def test_revoking_twice_is_revoking_once() -> None:
    user = make_user()
    row = UserToken.objects.get(digest=digest(mint_user_token(user=user, scope="full", actor="test")))
    revoke_user_token(token=row, actor="test")
    row.refresh_from_db()
    first = row.revoked_at
    revoke_user_token(token=row, actor="test")
    row.refresh_from_db()
    assert row.revoked_at == first


@pytest.mark.django_db
def test_unknown_and_revoked_tokens_are_answered_alike(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    agent, old_token = make_agent(), ""
    old_token = reset_agent_token(agent=agent, actor="test")
    reset_agent_token(agent=agent, actor="test")
    answers = []
    for token in (old_token, new_agent_token()):
        with django_assert_num_queries(1):
            answers.append(InProcess()("GET", "/agent/job", token=token))
    assert answers[0] == answers[1]
    assert answers[0].status == 401
