"""An address may ask for so many pages without being signed in. Those who are signed in do not notice it."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from letserver import visitors
from letserver.visitors import Buckets
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer

pytestmark = pytest.mark.sqlite_only

_A_MINUTE = 30
_AT_ONCE = 10


@pytest.fixture(params=["on", "off"], ids=["gateway", "django"])
def server(lane: Lane, request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    limit = {"LETSERVER_VISITOR_PAGES_A_MINUTE": str(_A_MINUTE)}
    server = LiveServer(lane, f"visited_{request.param}", gateway=request.param == "on", **limit)
    yield server
    server.close()


def _ask(
    server: LiveServer, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, form | sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def _sign_in(server: LiveServer) -> str:
    """Sign in with a password; return the cookie header."""
    script = (
        "from accounts.services.users import get_or_create_user as make; u = make(username='visitor');"
        " u.set_password('s3cret-enough'); u.save(update_fields=['password'])"
    )
    server.manage("shell", "-v", "0", "-c", script)
    _status, headers, page = _ask(server, "GET", "/console/login")
    csrf = headers["Set-Cookie"].partition(";")[0]
    form_token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert form_token
    form = urlencode({"csrfmiddlewaretoken": form_token[1], "username": "visitor", "password": "s3cret-enough"})
    status, headers, page = _ask(server, "POST", "/console/login", form, Cookie=csrf)
    assert status == 302, page
    return "; ".join(cookie.partition(";")[0] for cookie in headers.get_all("Set-Cookie", []))


def test_visitors_wait_and_the_signed_in_do_not(server: LiveServer) -> None:
    cookie = _sign_in(server)
    # An invented session is a visitor's too.
    answers = [_ask(server, "GET", "/console/login", Cookie="sessionid=invented") for _ in range(2 * _AT_ONCE)]
    assert answers[0][0] == 200
    assert sum(status == 429 for status, _headers, _page in answers) >= _AT_ONCE // 2
    for language, words in (("zh-CN", "请在"), ("en", "Try again in")):
        while True:
            status, headers, page = _ask(server, "GET", "/console/login", Accept_Language=language)
            if status == 429:
                break
        assert words in page
        assert 1 <= int(headers["Retry-After"]) <= 60 / _A_MINUTE
        assert headers["Content-Type"].startswith("text/html")
    assert {_ask(server, "GET", "/console/", Cookie=cookie)[0] for _ in range(2 * _AT_ONCE)} == {200}
    assert {_ask(server, "GET", path)[0] for path in ("/status", "/me", "/api/schema") for _ in range(9)} <= {
        204,
        400,
        200,
    }


def test_a_bucket_fills_again_and_the_oldest_keys_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "_KEPT", 3)
    buckets = Buckets(_A_MINUTE)
    assert [buckets.take("a", 0.0) for _ in range(_AT_ONCE)] == [0.0] * _AT_ONCE
    assert buckets.take("a", 0.0) == pytest.approx(60 / _A_MINUTE)
    assert buckets.take("a", 60 / _A_MINUTE + 0.01) == 0.0
    for key in "bcd":
        assert buckets.take(key, 3.0) == 0.0
    assert list(buckets._levels) == ["b", "c", "d"]
