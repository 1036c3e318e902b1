"""Raw HTTP bytes that a client library would not send."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any


def exchange(netloc: str, request: bytes, *, then_close: bool = False, seconds: float = 10.0) -> tuple[int, Any]:
    """Send bytes; return status and body of the first answer, parsed if it is JSON; (0, None) for no answer."""
    host, _, port = netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(request)
        if then_close:
            connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
        except (http.client.BadStatusLine, ConnectionResetError):
            return 0, None
        with response:
            text = response.read()
            try:
                return response.status, json.loads(text) if text else None
            except ValueError:
                return response.status, text.decode()


def request_bytes(method: bytes, target: bytes, headers: list[bytes], body: bytes = b"") -> bytes:
    """Build a request with a Host header."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: 127.0.0.1", *headers, b"", body])
