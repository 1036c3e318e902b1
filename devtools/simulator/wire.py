"""HTTP/1.1 on asyncio, low enough to simulate faults: hang up, stall, or send half an answer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

_PIECE_BYTES = 65_536
_LONGEST_BODY_BYTES = 25 * 1024 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)
# With a backlog of 5, sixteen parallel clients got connection resets.
_BACKLOG = 512


class HangUp(Exception):
    """Raised by a handler: the connection is reset without an answer."""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request. Header names are in lower case; the last of a repeated parameter counts."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: str

    def json(self) -> object:
        """Parse the body. Raises ValueError."""
        return json.loads(self.body.decode("utf-8"))

    def json_object(self) -> dict[str, object]:
        """Parse the body, an object. Raises ValueError."""
        value = self.json()
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value

    def form(self) -> dict[str, str]:
        """Parse the body as a form. Raises ValueError."""
        return dict(parse_qsl(self.body.decode("utf-8"), keep_blank_values=True))

    def fields(self) -> dict[str, object]:
        """Parse the body by its type: JSON or a form. Raises ValueError."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return dict(self.form())
        return self.json_object()


@dataclass(slots=True, kw_only=True)
class Response:
    """One answer. `cut`: send only this many bytes of the body, then close the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    cut: int | None = None

    @classmethod
    def of_json(cls, value: object, status: int = 200, **headers: str) -> Response:
        """JSON as the platforms write it: UTF-8, not escaped."""
        body = json.dumps(value, ensure_ascii=False).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status=status, headers={"Content-Type": "application/json; charset=utf-8", **named}, body=body)

    @classmethod
    def of_text(cls, text: str, status: int = 200, kind: str = "text/plain") -> Response:
        return cls(status=status, headers={"Content-Type": f"{kind}; charset=utf-8"}, body=text.encode())


Handler = Callable[[Request], Awaitable[Response]]


async def serve(handler: Handler, *, host: str, port: int) -> asyncio.Server:
    """Listen; port 0 takes a free port. Raises OSError if the port is in use."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _talk(handler, reader, writer)
        except HangUp:
            _reset(writer)
        except asyncio.CancelledError:
            return  # The program ends. If this is raised again, asyncio of Python 3.11 prints it.
        except (OSError, h11.ProtocolError, UnicodeDecodeError):
            return  # The client disconnected or does not speak HTTP: an answer would not be read.
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    return await asyncio.start_server(connection, host, port, backlog=_BACKLOG)


async def _talk(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    wire = h11.Connection(h11.SERVER)
    peer = writer.get_extra_info("peername")[0]
    while (request := await _read_request(wire, reader, writer, peer)) is not None:
        response = await handler(request)
        whole = await _write_response(wire, writer, response)
        if not whole or wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            return
        wire.start_next_cycle()


async def _next(wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> h11.Event:
    while (event := wire.next_event()) is h11.NEED_DATA:
        if wire.they_are_waiting_for_100_continue:
            writer.write(wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        wire.receive_data(await reader.read(_PIECE_BYTES))
    return event  # type: ignore[return-value]


async def _read_request(
    wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
) -> Request | None:
    head = await _next(wire, reader, writer)
    if not isinstance(head, h11.Request):
        return None
    body = bytearray()
    while isinstance(event := await _next(wire, reader, writer), h11.Data):
        body += event.data
        if len(body) > _LONGEST_BODY_BYTES:
            raise HangUp
    target = urlsplit(head.target.decode("ascii"))
    return Request(
        method=head.method.decode("ascii"),
        path=unquote(target.path),
        query=dict(parse_qsl(target.query, keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
        body=bytes(body),
        peer=peer,
    )


async def _write_response(wire: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> bool:
    """Return whether all of it was sent."""
    body = response.body
    length = {"Content-Length": str(len(body))} if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"}
    headers = list({**response.headers, **length}.items())
    writer.write(wire.send(h11.Response(status_code=response.status, headers=headers)) or b"")
    if isinstance(body, bytes):
        sent = body if response.cut is None else body[: response.cut]
        writer.write(wire.send(h11.Data(data=sent)) or b"")
        await writer.drain()
        if len(sent) < len(body):
            return False
    else:
        async for piece in body:
            writer.write(wire.send(h11.Data(data=piece)) or b"")
            await writer.drain()
    writer.write(wire.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST (SO_LINGER 0): the caller sees a lost connection, not an empty answer."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The product's answer to a push."""

    status: int
    headers: dict[str, str]
    body: bytes


class NoAnswer(Exception):
    """The product could not be reached, or did not answer in HTTP; the text says why."""


async def fetch(url: str, *, method: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Fetched:
    """Send one request over a new connection. Raises NoAnswer; TimeoutError after `seconds`, the connection cut."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [("Host", parts.netloc), ("Connection", "close"), *headers.items(), ("Content-Length", str(len(body)))]
    wire = h11.Connection(h11.CLIENT)
    async with asyncio.timeout(seconds):
        try:
            port = parts.port or (443 if tls else 80)
            reader, writer = await asyncio.open_connection(host, port, ssl=tls or None)
        except (OSError, ValueError) as exc:
            raise NoAnswer(str(exc)) from exc
        try:
            writer.write(wire.send(h11.Request(method=method, target=target, headers=lines)) or b"")
            writer.write(wire.send(h11.Data(data=body)) or b"")
            writer.write(wire.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            return await _read_response(wire, reader, writer)
        except (OSError, h11.ProtocolError) as exc:
            raise NoAnswer(str(exc)) from exc
        finally:
            writer.transport.abort()


async def _read_response(wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Fetched:
    head = await _next(wire, reader, writer)
    while isinstance(head, h11.InformationalResponse):
        head = await _next(wire, reader, writer)
    if not isinstance(head, h11.Response):
        raise NoAnswer("the connection was closed without an answer")
    body = bytearray()
    while isinstance(event := await _next(wire, reader, writer), h11.Data):
        body += event.data
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Fetched(status=head.status_code, headers=headers, body=bytes(body))
