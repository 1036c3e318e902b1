"""Log in and out, tokens, password, language, look."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.hashers import make_password
from django.http import HttpResponse
from django.test import Client, override_settings
from pytest_django import Settings

from accounts import tokens
from accounts.models import AuditEntry, User, UserToken
from accounts.services.tokens import mint_user_token
from accounts.services.users import set_frozen
from letserver import settings as product
from tests.console.conftest import PASSWORD
from tests.console.pages import assert_sound, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]


@pytest.fixture
def with_password(alice: User) -> User:
    """Alice, who has a password."""
    alice.set_password(PASSWORD)
    alice.save(update_fields=["password"])
    return alice


def _log_in(client: Client, password: str = PASSWORD, **more: str) -> HttpResponse:
    return client.post("/console/login", {"username": "alice", "password": password, **more})


def _actions(user: User) -> list[str]:
    return list(
        AuditEntry.objects.filter(subject=f"user:{user.pk}").order_by("sequence").values_list("action", flat=True)
    )


def test_the_product_keeps_passwords_as_argon2id_at_full_cost() -> None:
    """Asked of the product's settings: the tests of this process hash at the least cost."""
    with override_settings(PASSWORD_HASHERS=product.PASSWORD_HASHERS):
        kept = make_password(PASSWORD)
    assert kept.startswith("argon2$argon2id$")
    assert "m=19456,t=2,p=1$" in kept


def test_the_right_password_opens_and_turns_the_session(with_password: User, at_nobody: Client) -> None:
    at_nobody.get("/console/login")
    response = at_nobody.post("/console/login?next=/console/jobs", {"username": "alice", "password": PASSWORD})
    assert response.headers["Location"] == "/console/jobs"
    assert at_nobody.get("/console/jobs").status_code == 200
    assert _actions(with_password)[-1:] == ["login"]


def test_a_session_that_was_there_before_is_not_taken_over(with_password: User, at_nobody: Client) -> None:
    session = at_nobody.session
    session["left"] = "here"
    session.save()
    before = session.session_key
    _log_in(at_nobody)
    assert at_nobody.session.session_key != before


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_the_login_leads_nowhere_else(place: str, with_password: User, at_nobody: Client) -> None:
    response = _log_in(at_nobody, next=place)
    assert response.headers["Location"] == "/console/"
    theme = at_nobody.post("/console/theme", {"theme": "dark", "next": place})
    assert theme.headers["Location"] == "/console/"


def test_wrong_name_wrong_password_and_frozen_read_alike(with_password: User, at_nobody: Client) -> None:
    wrong = text_of(_log_in(at_nobody, "wrong"))
    nobody = text_of(at_nobody.post("/console/login", {"username": "nobody", "password": PASSWORD}))
    set_frozen(user=with_password, frozen=True, actor="test")
    frozen = text_of(_log_in(at_nobody))
    for page in (wrong, nobody, frozen):
        assert "Name or password is wrong." in page


def test_a_failed_login_is_noted_without_what_was_typed(with_password: User, at_nobody: Client) -> None:
    _log_in(at_nobody, "hunter2hunter2")
    at_nobody.post("/console/login", {"username": PASSWORD, "password": "x"})
    rows = AuditEntry.objects.filter(action="login_failed").order_by("sequence")
    assert [row.subject for row in rows] == [f"user:{with_password.pk}", "user:unknown"]
    written = " ".join(f"{row.actor}{row.subject}{row.details}" for row in AuditEntry.objects.all())
    assert "hunter2" not in written
    assert PASSWORD not in written


def test_ten_wrong_passwords_close_the_door_for_an_hour(with_password: User, at_nobody: Client) -> None:
    for _ in range(9):
        assert _log_in(at_nobody, "wrong").status_code == 200
    for password in ("wrong", PASSWORD):
        response = _log_in(at_nobody, password)
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "3600"
        assert "Try again at" in text_of(response)
        assert_sound(response)


def test_a_locked_door_is_no_lock_for_another_address_or_name(
    with_password: User, bob: User, at_nobody: Client
) -> None:
    for _ in range(10):
        _log_in(at_nobody, "wrong")
    elsewhere = Client(REMOTE_ADDR="192.0.2.77")
    assert _log_in(elsewhere).status_code == 302
    forged = at_nobody.post(
        "/console/login", {"username": "alice", "password": PASSWORD}, headers={"X-Forwarded-For": "192.0.2.78"}
    )
    assert forged.status_code == 429


def test_log_out_is_by_post_and_noted(with_password: User, at_nobody: Client) -> None:
    _log_in(at_nobody)
    assert at_nobody.get("/console/logout").status_code == 405
    assert at_nobody.post("/console/logout").headers["Location"] == "/console/login"
    assert at_nobody.get("/console/").status_code == 302
    assert _actions(with_password)[-2:] == ["login", "logout"]


def test_freezing_ends_a_session(alice: User, at_alice: Client) -> None:
    assert at_alice.get("/console/").status_code == 200
    set_frozen(user=alice, frozen=True, actor="test")
    assert at_alice.get("/console/").status_code == 302


@pytest.mark.parametrize(("scope", "prefix"), [("full", "lsu_"), ("jobs", "lsj_"), ("messages", "lsn_")])
def test_a_new_token_is_shown_once(scope: str, prefix: str, alice: User, at_alice: Client) -> None:
    assert at_alice.post("/console/account/tokens", {"scope": scope, "remark": "CI"}).status_code == 302
    found = re.search(rf"<code>({prefix}[0-9A-Za-z]{{36}})</code>", text_of(at_alice.get("/console/account")))
    assert found is not None
    assert UserToken.objects.get(user=alice).digest == tokens.digest(found[1])
    second = text_of(at_alice.get("/console/account"))
    assert found[1] not in second
    assert "CI" in second


def test_a_token_over_the_limit_is_refused_on_the_page(alice: User, at_alice: Client, settings: Settings) -> None:
    settings.TOKENS_PER_USER = 1
    mint_user_token(user=alice, scope="full", actor="test")
    answer = at_alice.post("/console/account/tokens", {"scope": "jobs", "remark": "CI"})
    assert answer.status_code == 409
    assert "You have 1 tokens and may have 1. Revoke one" in text_of(answer)
    assert UserToken.objects.filter(user=alice).count() == 1


def test_a_token_of_no_scope_is_refused(at_alice: Client) -> None:
    assert at_alice.post("/console/account/tokens", {"scope": "root"}).status_code == 400
    assert not UserToken.objects.exists()


def test_a_revoked_token_is_gone_from_the_list(alice: User, at_alice: Client) -> None:
    mint_user_token(user=alice, scope="jobs", actor="test")
    token = UserToken.objects.get(user=alice)
    assert "Programs that use it are refused" in text_of(at_alice.get(f"/console/account/tokens/{token.pk}/revoke"))
    at_alice.post(f"/console/account/tokens/{token.pk}/revoke")
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert at_alice.post(f"/console/account/tokens/{token.pk}/revoke").status_code == 404


def test_a_changed_password_ends_other_sessions(with_password: User) -> None:
    here, there = Client(), Client()
    _log_in(here)
    _log_in(there)
    new = "another long and private word"
    values = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/console/account/password", values).status_code == 302
    assert here.get("/console/").status_code == 200
    assert there.get("/console/").status_code == 302
    assert "user.change_password" in _actions(with_password)


@pytest.mark.parametrize(
    ("accepts", "word"), [("zh-CN,zh;q=0.9", "登录"), ("zh-TW", "登录"), ("en-GB", "Log in"), ("fr", "Log in")]
)
def test_the_browser_chooses_the_language(accepts: str, word: str, at_nobody: Client) -> None:
    assert word in text_of(at_nobody.get("/console/login", headers={"Accept-Language": accepts}))


def test_a_chosen_language_stays_also_before_the_login(at_nobody: Client) -> None:
    response = at_nobody.post("/console/language", {"language": "zh-hans", "next": "/console/login"})
    assert response.headers["Location"] == "/console/login"
    page = text_of(at_nobody.get("/console/login", headers={"Accept-Language": "en"}))
    assert "登录" in page
    assert '<html lang="zh-Hans"' in page


def test_a_chosen_look_stays(at_nobody: Client) -> None:
    at_nobody.post("/console/theme", {"theme": "dark", "next": "/console/login"})
    assert 'data-theme="dark"' in text_of(at_nobody.get("/console/login"))
    at_nobody.post("/console/theme", {"theme": "auto", "next": "/console/login"})
    assert "data-theme=" not in text_of(at_nobody.get("/console/login")).partition("<head>")[0]
    at_nobody.cookies["theme"] = '"><script>'
    assert_sound(at_nobody.get("/console/login"))
