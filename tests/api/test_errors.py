"""Unknown paths: errors in JSON on API paths, pages elsewhere, and safe headers on all answers."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from kernel.http.answers import api_language
from tests.api.contract import check_error
from tests.api.people import Live, Person
from tests.api.routes import routes


@pytest.mark.parametrize("path", ["/nope", "/jobs/x/y", "/job", "/agent/jobs/x/stopped", "/consoles", "/administrator"])
def test_unknown_api_path_is_json(path: str) -> None:
    response = Client().get(path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    check_error(response.json())


@pytest.mark.parametrize("path", ["/console/nope"])
def test_unknown_page_is_no_json(path: str, db: None) -> None:
    response = Client().get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/")


def test_host_that_is_not_ours_is_refused() -> None:
    response = Client(headers={"Host": "evil.example"}).get("/me")
    assert response.status_code == 400
    check_error(response.json())


def test_root_redirects_to_the_console() -> None:
    response = Client().get("/")
    assert response.status_code == 302
    assert response.headers["Location"] == "/console/"


def test_undeclared_method_is_405_before_the_token_is_read(db: None) -> None:
    declared = routes()
    paths = {path for _method, path in declared}
    for path in sorted(paths):
        address = re.sub(r"<[^>]*>", "x", path)
        for method in ("TRACE", "OPTIONS", "PUT", "PATCH", "DELETE"):
            if (method, path) not in declared:
                response = Client().generic(method, f"{address}?token=wrong")
                assert response.status_code == 405, f"{method} {path}"
                allowed = {known for known, at in declared if at == path} | ({"HEAD"} if path == "/status" else set())
                assert set(response.headers["Allow"].split(", ")) == allowed, f"{method} {path}"
                check_error(response.json())
    assert len(paths) > 50


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*", "*/*;q=0", "nonsense", ""])
def test_accept_header_changes_nothing(accept: str, alice: Person) -> None:
    answer = alice("GET", "/me", headers={"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "x", "multipart/form-data"]
)
def test_content_type_changes_nothing(kind: str, live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    headers = {"Content-Type": kind}
    body = b'{"agent": "%s", "message": "x"}' % agent.name.encode()
    assert live_alice("POST", "/jobs", raw=body, headers=headers).status == 201


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("en-GB, zh", "en"),
        ("fr, zh", "zh-hans"),
        ("de", "en"),
        (";;;,,", "en"),
    ],
)
def test_language_of_sentences(asked: str | None, language: str) -> None:
    assert api_language(asked) == language


@pytest.mark.parametrize(("language", "is_english"), [("en", True), ("zh-CN", False)])
def test_error_inside_an_error_is_in_the_language_of_the_answer(
    language: str, is_english: bool, live_alice: Person
) -> None:
    order = {"agent": "x", "message": "date", "callback": "nowhere"}
    answer = live_alice("POST", "/jobs", order, headers={"Accept-Language": language})
    assert answer.status == 400
    problem = answer.body["message"].split(":" if is_english else "：", 1)[1]
    assert problem.isascii() == is_english, answer.body["message"]


def test_every_answer_has_safe_headers_and_stays_out_of_caches(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    job = live_alice.send(agent)
    answers = [
        live_alice("GET", "/me"),
        live_alice("GET", f"/jobs/{job['id']}"),
        live_alice("POST", "/job/add", {"message": f"{agent.name} x"}),
        live_alice("GET", "/nope"),
        live("GET", "/agent/job", token=agent.token),
        live("GET", "/agent/job"),
        live("GET", "/agent/job", token="0" * 20),
        live("PUT", f"/agent/jobs/{job['id']}/running", {}, token=live_alice.full),
        live("GET", "/status"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy or "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
