"""A one-line call takes its text in every usual way, and the text arrives as it was written."""

from __future__ import annotations

import itertools
import json
import socket
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.api.people import Live, Person, TheirAgent
from tests.api.raw_http import exchange, request_bytes

_numbers = itertools.count()
_BOUNDARY = b"--x\r\nContent-Disposition: form-data; name="
_FORM = "application/x-www-form-urlencoded"
_BODIES: dict[str, tuple[str | None, bytes]] = {
    "json": ("application/json", b'{"message": "TEXT"}'),
    "json msg": ("application/json", b'{"heartbeat": null, "msg": "TEXT"}'),
    "json by curl -d": (_FORM, b'{"message": "TEXT"}'),
    "json without a type": (None, b' {"message": "TEXT"}'),
    "json with a mark": ("application/json", b'\xef\xbb\xbf{"message": "TEXT"}'),
    "curl -d msg": (_FORM, b"msg=TEXT"),
    "form message": (_FORM + "; charset=utf-8", b"source=x&message=TEXT"),
    "curl -d without a name": (_FORM, b"TEXT"),
    "curl -F": ("multipart/form-data; boundary=x", _BOUNDARY + b'"msg"\r\n\r\nTEXT\r\n--x--\r\n'),
    "curl -F with a file": (
        "multipart/form-data; boundary=x",
        _BOUNDARY + b'"log"; filename="a"\r\n\r\n\xff\xfe\r\n' + _BOUNDARY + b'"message"\r\n\r\nTEXT\r\n--x--\r\n',
    ),
    "plain": ("text/plain", b"TEXT\n"),
    "plain with a mark": ("text/plain; charset=utf-8", b"\xef\xbb\xbfTEXT"),
    "json as plain": ("text/plain", b'{"message": "TEXT"}'),
    "another type": ("x/y", b"TEXT"),
}
_CALLS = ["/message/info", "/job/add", "/agent/message/info", "/agent/job/add"]


@pytest.fixture
def agent(live_alice: Person) -> TheirAgent:
    live_alice.add_channel()
    return live_alice.add_agent(f"caller{next(_numbers)}")


def _call(
    live: Live, path: str, token: str, *, kind: str | None = None, body: bytes = b"", method: str = "POST"
) -> Any:
    headers = [f"Authorization: Bearer {token}".encode(), b"Content-Length: %d" % len(body)]
    headers += [f"Content-Type: {kind}".encode()] if kind else []
    return exchange(live.netloc, request_bytes(method.encode(), path.encode(), headers, body))


def _text_for(path: str, agent: TheirAgent, text: str) -> str:
    return f"{agent.name} {text}" if "job" in path else text


def _newest(alice: Person, path: str) -> str:
    (row,) = alice("GET", ("/jobs" if "job" in path else "/messages") + "?limit=1").body["items"]
    return str(row["message"] if "job" in path else row["text"])


@pytest.mark.parametrize("path", _CALLS)
def test_every_usual_body_is_read(path: str, live: Live, live_alice: Person, agent: TheirAgent) -> None:
    token = agent.token if path.startswith("/agent") else live_alice.full
    found = {}
    for number, (name, (kind, body)) in enumerate(_BODIES.items()):
        text = f"磁盘 {number} 满了"
        sent = _text_for(path, agent, text)
        data = body.replace(b"TEXT", urlencode({"": sent})[1:].encode() if b"=TEXT" in body else sent.encode())
        status, answer = _call(live, path, token, kind=kind, body=data)
        found[name] = (status in (201, 202), answer, _newest(live_alice, path) == text)
    assert found == dict.fromkeys(_BODIES, (True, None, True))


@pytest.mark.parametrize("path", _CALLS)
def test_a_text_in_the_query_of_a_post_counts_where_the_body_has_none(
    path: str, live: Live, live_alice: Person, agent: TheirAgent
) -> None:
    token = agent.token if path.startswith("/agent") else live_alice.full
    for name in ("msg", "message"):
        text = f"by {name}"
        status, answer = _call(live, f"{path}?{name}={quote(_text_for(path, agent, text))}", token)
        assert (status in (201, 202), answer, _newest(live_alice, path)) == (True, None, text)


def test_a_number_is_a_text(live: Live, live_alice: Person, agent: TheirAgent) -> None:
    for number in ("21.5", "7"):
        body = b'{"message": %s}' % number.encode()
        assert _call(live, "/message/info", live_alice.full, kind="application/json", body=body) == (201, None)
        assert _newest(live_alice, "/message/info") == number


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        ("application/json", b"[1]", "The body must be a JSON object."),
        ("application/json", b'{"message": true}', "message must be text that is not empty."),
        (_FORM, b"msg=%ff", "The form in the body is not percent-encoded UTF-8."),
        (_FORM, b"other=1", "message must be text that is not empty."),
        ("text/plain", b"\xff", "The body is not UTF-8."),
        ("multipart/form-data; boundary=x", _BOUNDARY + b'"msg"\r\n\r\n\xff\r\n--x--\r\n', "The body is not UTF-8."),
        ("multipart/form-data", b"x", "The form in the body cannot be read."),
        ("text/plain", b"", "message must be text that is not empty."),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    kind: str, body: bytes, sentence: str, live: Live, live_alice: Person
) -> None:
    status, answer = _call(live, "/message/info", live_alice.full, kind=kind, body=body)
    assert (status, answer["message"]) == (400, sentence)


@pytest.mark.parametrize("text", ["磁盘快满了", "🔥", "25°C", "naïve"])
@pytest.mark.parametrize("path", ["/message/info", "/job/add"])
def test_text_typed_raw_into_an_address_is_read(
    path: str, text: str, live: Live, live_alice: Person, agent: TheirAgent
) -> None:
    sent = quote(_text_for(path, agent, "")) + text
    address = f"{path}?token={live_alice.full}&msg={sent}"
    assert exchange(live.netloc, request_bytes(b"GET", address.encode(), [])) == (201, None)
    assert _newest(live_alice, path) == text


def test_raw_bytes_are_read_wherever_a_packet_ends_and_in_every_request_of_a_connection(
    live: Live, live_alice: Person, agent: TheirAgent
) -> None:
    rest = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Raw: \xe6\xb8\xa9\r\n\r\n"
    host, _colon, port = live.netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, (begin, end) in enumerate(((10, -5), (-3, -1), (2, 3))):
            line = f"GET /message/info?token={live_alice.full}&msg={number}温度".encode()
            for piece in (line[:begin], line[begin:end], line[end:] + rest):
                wire.sendall(piece)
            assert wire.recv(4096).split()[1] == b"201"
            assert _newest(live_alice, "/messages") == f"{number}温度"


def test_a_request_that_cannot_be_read_gets_the_json_error(live: Live) -> None:
    for target in (b"/status and more", b"/\x01"):
        status, body = exchange(live.netloc, request_bytes(b"GET", target, []))
        assert (status, body["error"]) == (400, "InvalidRequest")
        assert body["message"].startswith("The request cannot be read.")


@pytest.mark.parametrize(
    "path",
    ["/jobs", "/job/add", "/message/info", "/messages", "/delayed-jobs", "/schedules", "/agents"],
)
def test_a_byte_order_mark_in_front_of_json_is_skipped(path: str, live_alice: Person) -> None:
    refused = live_alice("POST", path, raw=b"\xef\xbb\xbf" + json.dumps({"message": 1.5}).encode())
    assert refused.status in (201, 400, 404), refused
    assert "not JSON" not in str(refused.body)


def test_the_login_of_a_proxy_does_not_shut_out_the_token_in_the_query(
    live: Live, live_alice: Person, agent: TheirAgent
) -> None:
    for header in (b"Authorization: Basic dXNlcjpwYXNz", b"Authorization: Bearer of-the-proxy", b"Authorization: x"):
        for path in ("/message/info", "/job/add"):
            address = f"{path}?token={live_alice.full}&msg={quote(_text_for(path, agent, 'behind'))}"
            assert exchange(live.netloc, request_bytes(b"GET", address.encode(), [header])) == (201, None)
            post = request_bytes(b"POST", address.encode(), [header, b"Content-Length: 0"])
            assert exchange(live.netloc, post) == (201, None)


def test_a_wrong_token_in_the_query_is_not_told_to_go_into_the_header(live: Live) -> None:
    status, body = exchange(live.netloc, request_bytes(b"GET", b"/message/info?token=wrong&msg=x", []))
    assert (status, body["error"]) == (400, "InvalidToken")
    assert body["message"] == "The value of ?token= is not a token of this service."


def test_two_tokens_are_refused(live: Live, live_alice: Person) -> None:
    header = f"Authorization: Bearer {live_alice.jobs}".encode()
    for address in (f"/message/info?token={live_alice.full}", f"/job/add?token={live_alice.full}"):
        status, body = exchange(live.netloc, request_bytes(b"GET", f"{address}&msg=x".encode(), [header]))
        assert (status, body["message"]) == (400, "Send one token: the call has two.")


def test_the_text_of_a_job_is_kept_as_it_was_written(live: Live, live_alice: Person, agent: TheirAgent) -> None:
    text = 'say "a  b"\n  and\t"c"'
    for path, token in (("/job/add", live_alice.full), ("/agent/job/add", agent.token)):
        sent = json.dumps({"message": f"  {agent.name} \t {text}  "}).encode()
        assert _call(live, path, token, kind="application/json", body=sent) == (201, None)
        assert _newest(live_alice, path) == text


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b'{"message": "a\nb"}', "Line 1, character 15: Write a line break inside a text as \\n, and a tab as \\t."),
        (b'{"message": "a\tb"}', "Line 1, character 15: Write a line break inside a text as \\n, and a tab as \\t."),
        (
            b'{"message": "say "hi""}',
            'Line 1, character 19: A comma is missing, or a quote inside a text is not written as \\".',
        ),
        (
            b'{"message": "a",}',
            "Line 1, character 17: A name in double quotes must stand here. No comma stands before a closing brace.",
        ),
        (
            b'{message: "a"}',
            "Line 1, character 2: A name in double quotes must stand here. No comma stands before a closing brace.",
        ),
        (b"{\n\"message\": 'a'}", "Line 2, character 12: A value is missing here. Put text in double quotes."),
        (
            b'{"message": "a"',
            'Line 1, character 16: A comma is missing, or a quote inside a text is not written as \\".',
        ),
        (b'{"message": "a', "Line 1, character 13: A text has no quote at its end."),
        (b'{"message": "\\x"}', "Line 1, character 14: Write a backslash inside a text twice: \\\\."),
        (b'{"message" "a"}', "Line 1, character 12: A colon is missing after the name."),
        (b'{"message": "a"} x', "Line 1, character 18: Something follows the end of the JSON."),
    ],
)
def test_a_mistake_in_json_is_told_with_its_place_and_cause(raw: bytes, cause: str, live_alice: Person) -> None:
    refused = live_alice("POST", "/jobs", raw=raw)
    assert (refused.status, refused.body["message"]) == (400, f"The body is not JSON. {cause}")
