"""A server on loopback that answers every call of an agent with invalid, huge, endless or hostile bytes.

It speaks HTTP by hand, because a library would refuse most of these answers. The answers come from a seeded random
generator, so that a failure repeats. `counts` has the number of answers of each kind, and `calls` that of each call.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.skadi.support import TOKEN

# fmt: off
STATUSES = (
    200, 200, 200, 201, 202, 204, 206, 226, 300, 301, 302, 304, 307, 308, 400, 403, 404, 405, 408, 409, 410, 413, 415,
    418, 422, 425, 426, 429, 451, 499, 500, 501, 502, 503, 504, 507, 511, 599, 600, 700, 999,
)
# Half a character, the end of a line, an escape sequence, C1, bidi override and isolate, a zero-width space.
TEXTS = (
    "\ud800", "a\udfffb", "\n", "\r\n", "\x1b[31m", "\x1b]0;x\x07", "\x9b2J", "\u202e", "\u2066x", "\u200b", "\x00",
    "傻瓜", "a" * 5000, "", " ", "help", "count", "../../x", "%s", "{1}", TOKEN,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1e308, -1e-9, [], {}, [[]], [None], {"a": {}}, "1",
)
FIELDS = ("id", "message", "attempt", "offer", "lease_s", "ack_s", "params", "argv", "cancel", "error", "name", "owner")
HEADERS = (
    "Skadi-Protocol: 2", "Skadi-Protocol: 1", "Skadi-Protocol: \x1b[31m", "Retry-After: 99999", "Retry-After: -1",
    "Retry-After: Mon, 01 Jan 2035 00:00:00 GMT", "Retry-After: 1e9", "Location: http://127.0.0.1:1/",
    "Location: /", "Skadi-Log-Offset: 999999999999999", "Skadi-Log-Offset: -1", "Skadi-Log-Offset: x",
    "Set-Cookie: a=b", "Content-Type: text/html", "Content-Type: \xff", "Content-Encoding: gzip",
    "Content-Encoding: br", "Connection: close", "Connection: upgrade", "Upgrade: websocket", "Trailer: X",
    "X: \x1b[2J\x9b2J",
)
# fmt: on
BOMB = gzip.compress(bytes(60_000_000), 9)


def head(status: int, *lines: str) -> bytes:
    return "".join([f"HTTP/1.1 {status} X\r\n", *(f"{line}\r\n" for line in lines), "\r\n"]).encode("latin-1")


def with_body(body: bytes, status: int = 200, *lines: str) -> bytes:
    return head(status, f"Content-Length: {len(body)}", *lines) + body


def chunked(body: bytes, size: int, trailers: bytes = b"\r\n") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head(200, "Transfer-Encoding: chunked") + chunks + b"0\r\n" + trailers


class Answers:
    """Make answers. Each method is a kind: it returns bytes, or an iterator of them that may have no end."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.numbers = 0
        self.kinds: list[Callable[[], bytes | Iterator[bytes]]] = [
            *([self.fields] * 6), *([self.mutated] * 4), *([self.headers] * 3), self.json_of_all_kinds, self.deep_json,
            self.many_objects, self.huge_number, self.endless_continue, self.endless_trailers, self.endless_headers,
            self.endless_body, self.gzip_bomb, self.wrong_length, self.cut_body, self.bad_chunks, self.tiny_chunks,
            self.interim, self.no_http, self.long_line, self.redirect,
        ]  # fmt: skip

    def next(self) -> tuple[str, bytes | Iterator[bytes]]:
        """Return the name of a kind and an answer of it."""
        kind = self.chance.choice(self.kinds)
        return kind.__name__, kind()

    def text(self) -> str:
        return "".join(self.chance.choice(TEXTS) for _ in range(self.chance.randrange(1, 3)))

    def value(self) -> Any:
        return self.text() if self.chance.random() < 0.5 else self.chance.choice(VALUES)

    def body(self) -> dict[str, Any]:
        self.numbers += 1
        body: dict[str, Any] = {"id": f"job-{self.numbers}", "message": "help"}
        body |= {name: self.value() for name in self.chance.sample(FIELDS, self.chance.randrange(1, 7))}
        if self.chance.random() < 0.5:
            body |= {"id": f"job-{self.numbers}", "attempt": 1, "offer": 1}
        return body

    def fields(self) -> bytes:
        return with_body(json.dumps(self.body()).encode(), 200, "Skadi-Protocol: 2")

    def headers(self) -> bytes:
        lines = [self.chance.choice(HEADERS) for _ in range(self.chance.randrange(1, 5))]
        return with_body(json.dumps(self.body()).encode(), self.chance.choice(STATUSES), *lines)

    def mutated(self) -> bytes:
        data = bytearray(
            self.headers() if self.chance.random() < 0.5 else chunked(json.dumps(self.body()).encode(), 50)
        )
        for _ in range(self.chance.randrange(1, 8)):
            data[self.chance.randrange(len(data))] = self.chance.choice(b'\x00\n\r :{}[]"x\xff\x1b9')
        return bytes(data)

    def json_of_all_kinds(self) -> bytes:
        return with_body(
            self.chance.choice(
                [b"", b"{", b"null", b"NaN", b"-Infinity", b"\xff\xfe", b"\xef\xbb\xbf{}", b'"x"', b"[1]"]
            )
        )

    def deep_json(self) -> bytes:
        return with_body(self.chance.choice([b"[" * 60_000, b'{"a":' * 12_000, b"[" * 900 + b"]" * 900]))

    def many_objects(self) -> bytes:
        return with_body(b'{"cancel":[' + b"{}," * self.chance.choice([20_000, 100_000]) + b"{}]}")

    def huge_number(self) -> bytes:
        return with_body(
            b'{"id":"a","message":"count","lease_s":' + b"9" * self.chance.choice([400, 5000, 60_000]) + b"}"
        )

    def endless_continue(self) -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000

    def endless_trailers(self) -> Iterator[bytes]:
        yield chunked(b"{}", 2, b"")
        while True:
            yield b"a: b\r\n" * 1000

    def endless_headers(self) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            yield b"X: " + b"y" * 10_000 + b"\r\n"

    def endless_body(self) -> Iterator[bytes]:
        yield head(200)
        while True:
            yield b"x" * 50_000

    def gzip_bomb(self) -> bytes:
        return with_body(BOMB, 200, "Content-Encoding: gzip")

    def wrong_length(self) -> bytes:
        length = self.chance.choice(["-1", "x", "1", "999999999999", "5, 6", "0x5", "", "1e3", "9" * 5000])
        return head(200, f"Content-Length: {length}") + b'{"id":"a"}'

    def cut_body(self) -> bytes:
        data = self.fields()
        return data[: self.chance.randrange(len(data))]

    def bad_chunks(self) -> bytes:
        line = self.chance.choice([b"zz", b"ffffffffffffffff", b"-5", b"", b"5;" + b"x" * 70_000, b"7fffffff"])
        return head(200, "Transfer-Encoding: chunked") + line + b"\r\n{}\r\n"

    def tiny_chunks(self) -> bytes:
        return chunked(b" " * self.chance.choice([5_000, 60_000]) + b"{}", 1)

    def interim(self) -> bytes:
        return b"HTTP/1.1 %d X\r\n\r\n" % self.chance.choice([100, 101, 102, 103, 199]) + self.fields()

    def no_http(self) -> bytes:
        return self.chance.choice(
            [b"", b"\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 5000]
        )

    def long_line(self) -> bytes:
        return b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n"

    def redirect(self) -> bytes:
        return head(self.chance.choice([301, 302, 303, 307, 308]), "Location: http://127.0.0.1:1/", "Content-Length: 0")


class HostileServer:
    """Accept connections of an agent. The first answer is good, so that the token is known to work."""

    def __init__(self, seed: int, most: int, kinds: tuple[str, ...] = ()) -> None:
        """`kinds` names the only kinds of answers to give, instead of all."""
        self.answers = Answers(seed)
        if kinds:
            self.answers.kinds = [getattr(self.answers, kind) for kind in kinds]
        self.most = most  # then the server answers as a good one without jobs
        self.counts: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.last = threading.Event()
        self.closing = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.closing = True
        self.listener.close()

    def _accept(self) -> None:
        while not self.closing:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as stream:
            try:
                while self._exchange(connection, stream):
                    pass
            except OSError:
                return  # the agent has closed the connection, as it should

    def _exchange(self, connection: socket.socket, stream: Any) -> bool:
        """Answer one request. Return whether the connection can go on."""
        words = stream.readline().decode("latin-1").split()
        if len(words) < 2:
            return False
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        stream.read(length)
        call = f"{words[0]} {re.sub(r'job-?[0-9]+', 'ID', words[1].partition('?')[0])}"
        kind, answer = self._next(call)
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return kind in ("good", "fields", "many_objects", "tiny_chunks")
        for piece in answer:
            connection.sendall(piece)
        return False

    def _next(self, call: str) -> tuple[str, bytes | Iterator[bytes]]:
        with self.lock:
            self.calls[call] += 1
            done = sum(self.counts.values()) >= self.most
            if done:
                self.last.set()
            if done or self.calls.total() == 1:
                if call == "GET /agent/whoami":
                    return "good", with_body(b'{"name":"a","owner":"b"}', 200, "Skadi-Protocol: 2")
                status = 204 if call == "GET /agent/job" else 404
                return "good", head(status, "Content-Length: 0", "Skadi-Protocol: 2")
            kind, answer = self.answers.next()
            self.counts[kind] += 1
            return kind, answer
