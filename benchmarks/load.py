"""Callers over keep-alive connections: at a fixed rate, or as fast as they are answered."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass

CALLERS = 16


class Wire:
    """One HTTP/1.1 connection to a server on loopback, for one call at a time."""

    def __init__(self, port: int, *, timeout: float = 30) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def ask(self, request: bytes) -> int:
        """Send a request, read the whole answer, return its status. Raises OSError on a lost connection."""
        self._socket.sendall(request)
        head = self._file.readline().split()
        if len(head) < 2:
            raise ConnectionError("the server hung up")
        length = 0
        while (line := self._file.readline().strip()) != b"":
            name, _colon, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self._file.read(length)
        return int(head[1])

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def request(path: str, body: bytes, **headers: str) -> bytes:
    """Return the bytes of a POST."""
    named: Mapping[str, str] = {"Content-Type": "application/json", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n"
    return head.encode() + body


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Latencies in milliseconds, counted from when a call was due: waiting for a free connection is included."""

    times: Sequence[float]

    def at(self, share: float) -> float:
        """Return the latency at a quantile (0 to 1)."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def steadily(port: int, requests: Sequence[bytes], *, a_second: float, wanted: int = 200) -> Latencies:
    """Send each request at its due time. Raises AssertionError for another status than `wanted`."""
    turns = itertools.count()
    began = time.perf_counter() + 0.05
    times: list[float] = []

    def call(wire: Wire) -> None:
        while (number := next(turns)) < len(requests):
            due = began + number / a_second
            time.sleep(max(0.0, due - time.perf_counter()))
            status = wire.ask(requests[number])
            times.append((time.perf_counter() - due) * 1000)
            assert status == wanted, f"answered {status}"

    _by_all(port, call)
    return Latencies(times=times)


def patiently(port: int, requests: Sequence[bytes], *, a_second: float, wanted: int, timeout: float) -> Latencies:
    """Send each request at its due time on a connection of its own. A call that fails counts with the timeout."""
    began = time.perf_counter() + 0.05

    def call(number: int) -> float:
        due = began + number / a_second
        time.sleep(max(0.0, due - time.perf_counter()))
        with suppress(OSError), closing(Wire(port, timeout=timeout)) as wire:
            if wire.ask(requests[number]) == wanted:
                return (time.perf_counter() - due) * 1000
        return timeout * 1000

    # Enough threads that no call waits for another one.
    with ThreadPoolExecutor(max(1, round(a_second * timeout))) as pool:
        return Latencies(times=list(pool.map(call, range(len(requests)))))


def at_once(port: int, make: Callable[[int], bytes], *, seconds: float, wanted: int = 200) -> float:
    """Let every caller send its next request (`make` of its number) after each answer; return calls a second."""
    turns = itertools.count()
    began = time.perf_counter()
    done: list[int] = []

    def call(wire: Wire) -> None:
        count = 0
        while time.perf_counter() - began < seconds:
            status = wire.ask(make(next(turns)))
            assert status == wanted, f"answered {status}"
            count += 1
        done.append(count)

    _by_all(port, call)
    return sum(done) / (time.perf_counter() - began)


def _by_all(port: int, call: Callable[[Wire], None]) -> None:
    """Run `call` in all callers, each on its own connection that is opened before."""
    ready = threading.Barrier(CALLERS)

    def one(_number: int) -> None:
        wire = Wire(port)
        try:
            ready.wait(30)
            call(wire)
        finally:
            wire.close()

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(one, range(CALLERS)))
