"""Receivers of callbacks that misbehave, each at an address of its own, and one that does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Speak = Callable[[socket.socket], None]

_LONG_SECONDS = 30.0
_OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def _hang(line: socket.socket) -> None:
    line.recv(1)


def _drip(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        line.sendall(b"x")
        time.sleep(0.5)


def _large(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    piece = b"x" * 65536
    for _ in range(1600):
        line.sendall(piece)


def _bomb(line: socket.socket) -> None:
    """Says that it is gzip, and is what a thousandth of a gigabyte of zeros begins with."""
    line.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1048576\r\n\r\n\x1f\x8b\x08" + b"\0" * 65536
    )


def _says(head: str) -> Speak:
    return lambda line: line.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())


HOSTILE: dict[str, Speak] = {
    "hang": _hang,
    "drip": _drip,
    "redirect": _says("302 Found\r\nLocation: http://169.254.169.254/"),
    "gzip bomb": _bomb,
    "100 MB": _large,
    # It receives a ClientHello and answers something that is not TLS.
    "bad TLS": lambda line: line.sendall(b"\x16\x03\x03\x00\x02zz"),
    "410": _says("410 Gone"),
    "429": _says("429 Too Many Requests\r\nRetry-After: 86400"),
}
"""The behaviour of each address after it has received something."""


class Receivers:
    """Listens on one port of all of 127/8; who is spoken to decides how it answers. `good` notes when it was called."""

    GOOD = "127.0.1.1"

    def __init__(self, behaviours: list[str]) -> None:
        self._speaks = {f"127.0.0.{number}": HOSTILE[name] for number, name in enumerate(behaviours, 2)}
        self._behaviours = dict(zip(self._speaks, behaviours, strict=True))
        self.heard: dict[str, float] = {}
        """When the good one was called, by webhook-id."""
        self._lines: list[socket.socket] = []
        self._listener = socket.create_server(("", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def good(self) -> str:
        """The address of the one that answers."""
        return f"http://{self.GOOD}:{self.port}/"

    @property
    def hostile(self) -> list[str]:
        """The addresses of the others."""
        scheme = {"bad TLS": "https"}
        return [f"{scheme.get(name, 'http')}://{host}:{self.port}/" for host, name in self._behaviours.items()]

    def close(self) -> None:
        """Take no more calls, and end those that last."""
        for line in (self._listener, *self._lines):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        self._lines.append(line)
        with line, suppress(OSError):
            line.settimeout(_LONG_SECONDS)
            words = line.recv(65536)
            speak = self._speaks.get(line.getsockname()[0])
            if speak is not None:
                speak(line)
                return
            name = b"webhook-id: "
            self.heard[words[words.index(name) + len(name) :].split(b"\r\n", 1)[0].decode()] = time.monotonic()
            line.sendall(_OK)
