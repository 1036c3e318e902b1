"""Requests that violate HTTP, or use rare features of it."""

from __future__ import annotations

import pytest

from tests.api.contract import check_error
from tests.api.people import Live, Person
from tests.api.raw_http import exchange, request_bytes


def _authorization(token: str) -> bytes:
    return f"Authorization: Bearer {token}".encode()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"/jobs?status=\xff\xfe"),
        (b"GET", b"/jobs/\xff\xfe"),
        (b"GET", b"/jobs?agent=\xe5\x82\xbb"),
        (b"GET", b"/job/add?msg=bar%20\xff"),
        (b"GET", b"/agents/\x01"),
        (b"GET", b"/jobs with blanks"),
        (b"GET", b"jobs"),
        (b"GET", b"*"),
        (b"GET", b"http://[::1/jobs"),
        (b"G\xffT", b"/jobs"),
        (b"get", b"/jobs"),
        (b"PRI", b"*"),
        (b"CONNECT", b"/jobs"),
    ],
)
def test_an_invalid_request_line_is_refused(method: bytes, target: bytes, live: Live, live_alice: Person) -> None:
    status, body = exchange(live.netloc, request_bytes(method, target, [_authorization(live_alice.full)]))
    assert 400 <= status < 500, (status, body)
    # Bytes that are not HTTP do not reach our code: the server answers with plain text.
    if isinstance(body, dict):
        check_error(body)


@pytest.mark.parametrize(
    "header",
    [
        b"X: " + b"y" * 100_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(2000)),
        b"Host: evil.example",
        b"Host: a b",
        b"Content-Length: x",
        b"Content-Length: -1",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"No colon",
        b"X: a\x00b",
        b"Cookie: sessionid=" + b"\xff" * 100,
        b"Accept-Language: " + b"zh-" * 5000,
        b"Accept: text/html;q=x",
        b"Content-Type: multipart/form-data; boundary=",
        b"Content-Type: \xff/\xff; charset=x",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
        b"Upgrade: websocket\r\nConnection: upgrade",
        b"X-Forwarded-For: \xff, 'x'",
        b"X-HTTP-Method-Override: DELETE",
        b"If-None-Match: *",
        b"Range: bytes=0-1",
    ],
)
def test_odd_header_never_breaks_the_server(header: bytes, live: Live, live_alice: Person) -> None:
    for path in (b"/jobs?limit=1", b"/me"):
        status, _body = exchange(live.netloc, request_bytes(b"GET", path, [header, _authorization(live_alice.full)]))
        assert status == 200 or 400 <= status < 500 or status == 0, status
    assert live_alice("GET", "/me").status == 200


def test_chunked_body_is_read(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    body = b'{"agent": "%s", "message": "chunked"}' % agent.name.encode()
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (5, body[:5], len(body) - 5, body[5:])
    headers = [_authorization(live_alice.full), b"Transfer-Encoding: chunked"]
    status, job = exchange(live.netloc, request_bytes(b"POST", b"/jobs", headers, chunks))
    assert (status, job["message"]) == (201, "chunked")


def test_chunked_body_over_the_cap_is_refused(live: Live, live_alice: Person) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    headers = [_authorization(live_alice.full), b"Transfer-Encoding: chunked"]
    request = request_bytes(b"POST", b"/jobs", headers, chunk * 3 + b"0\r\n\r\n")
    status, body = exchange(live.netloc, request)
    assert status == 413
    check_error(body)


def test_broken_chunks_make_no_job(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    headers = [_authorization(live_alice.full), b"Transfer-Encoding: chunked"]
    status, _body = exchange(live.netloc, request_bytes(b"POST", b"/jobs", headers, b"zz\r\n{}\r\n0\r\n\r\n"))
    assert 400 <= status < 500 or status == 0
    assert live_alice("GET", f"/jobs?agent={agent.id}").body["items"] == []


def test_body_shorter_than_promised_makes_no_job(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    body = b'{"agent": "%s", "message": "cut off"}' % agent.name.encode()
    headers = [_authorization(live_alice.full), b"Content-Length: %d" % (len(body) + 10)]
    status, _body = exchange(live.netloc, request_bytes(b"POST", b"/jobs", headers, body), then_close=True)
    assert 400 <= status < 500 or status == 0
    assert live_alice("GET", f"/jobs?agent={agent.id}").body["items"] == []


def test_bytes_after_a_body_are_not_part_of_it(live: Live, live_alice: Person) -> None:
    agent = live_alice.add_agent()
    body = b'{"agent": "%s", "message": "first"}' % agent.name.encode()
    headers = [_authorization(live_alice.full), b"Content-Length: %d" % len(body)]
    status, _body = exchange(live.netloc, request_bytes(b"POST", b"/jobs", headers, body + b'{"agent": "smuggled"}'))
    assert status in (201, 400)
    messages = [job["message"] for job in live_alice("GET", f"/jobs?agent={agent.id}").body["items"]]
    assert messages in (["first"], [])
