"""`make up` behind https: it starts, and what a request says about host and scheme has clear consequences."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lanes.lane import Lane
from tests.up.conftest import Start
from tests.up.instance import Instance
from tests.waiting import until

_PUBLIC = "ls.example.com"


@pytest.fixture(scope="module")
def public(lane: Lane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with an https address behind a proxy."""
    data = tmp_path_factory.mktemp("public") / "data"
    data.mkdir(mode=0o700)
    lane.migrated_database("public", data=data)
    instance = Instance(data, LETSERVER_PUBLIC_URL=f"https://{_PUBLIC}", LETSERVER_TRUSTED_PROXIES="1")
    try:
        yield instance.wait_until_ready()
    finally:
        instance.end()


def _get(instance: Instance, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=10)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def test_it_starts_and_the_demo_agent_answers(public: Instance) -> None:
    assert public.paste_the_printed_command()["status"] == "succeeded"


def test_a_monitor_may_ask_by_any_name_and_without_tls(public: Instance) -> None:
    for host in ("10.0.0.5:8000", "monitor", _PUBLIC, "a b"):
        for proto in ({}, {"X_Forwarded_Proto": "http"}):
            assert _get(public, "/status", Host=host, **proto)[0] == 204, (host, proto)


def test_a_call_by_the_public_name_is_answered_whether_or_not_the_proxy_tells_the_scheme(public: Instance) -> None:
    for proto in ({}, {"X_Forwarded_Proto": "https"}):
        status, headers, _body = _get(public, "/console/login", Host=_PUBLIC, **proto)
        assert status == 200
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
    status, headers, _body = _get(public, "/console/login", Host=_PUBLIC, X_Forwarded_Proto="http")
    assert (status, headers["Location"]) == (301, f"https://{_PUBLIC}/console/login")


def test_an_unknown_host_is_named_with_the_settings_that_allow_it(public: Instance) -> None:
    status, _headers, body = _get(public, "/me", Host="wrong.example")
    assert status == 400
    assert "wrong.example" in body
    assert "LETSERVER_ALLOWED_HOSTS" in body
    status, headers, page = _get(public, "/console/login", Host="wrong.example", Accept_Language="en")
    assert status == 400
    assert headers["Content-Type"].startswith("text/html")
    assert "This server does not answer to the name wrong.example." in page
    assert "LETSERVER_PUBLIC_URL" in page
    log = public.data / "logs" / "web.log"
    until(lambda: "host=wrong.example" in log.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "value", ["https://ls.example.com/path", "ls.example.com", "https://", "https://a:x", "ftp://a"]
)
def test_a_public_url_that_cannot_be_served_is_refused(value: str, start: Start, tmp_path: Path) -> None:
    said = start(tmp_path / "data", LETSERVER_PUBLIC_URL=value).wait_for_refusal()
    assert "LETSERVER_PUBLIC_URL" in said
    assert "Traceback" not in said
