"""The faulty network injects each fault and counts it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import CommitFinder, Proxy
from tests.lanes.live import free_port
from tests.waiting import until

pytestmark = pytest.mark.sqlite_only


class Echo:
    """Sends back what it gets; `received` holds it all, `open` counts the connections that did not end."""

    def __init__(self) -> None:
        self.received = b""
        self.open = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            self.open += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    self.received += data
                    connection.sendall(data)
            except OSError:
                return
            finally:
                self.open -= 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    made = Proxy(("127.0.0.1", free_port()), ("127.0.0.1", echo.port))
    yield made
    made.close()


def _connect(proxy: Proxy, seconds: float = 2.0) -> socket.socket:
    assert isinstance(proxy.address, tuple)
    return socket.create_connection(proxy.address, timeout=seconds)


def _ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(4096)


def _ask_twice(connection: socket.socket) -> None:
    """Send twice, because the answer to the first may still arrive."""
    for _ in range(2):
        _ask(connection, b"one")


def _query(text: str, number: int = 0) -> bytes:
    payload = b"\x03" + text.encode()
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def test_a_good_network_carries_everything_and_the_end(proxy: Proxy, echo: Echo) -> None:
    with _connect(proxy) as connection:
        assert _ask(connection, b"one") == b"one"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""
    until(lambda: echo.open == 0)
    assert proxy.landed == 0


def test_a_reset_is_a_reset(proxy: Proxy) -> None:
    proxy.reset_some(1.0)
    with _connect(proxy) as connection, pytest.raises(ConnectionResetError):
        _ask_twice(connection)
    assert proxy.landed == 1


def test_a_hole_swallows_and_keeps_until_it_is_healed(proxy: Proxy, echo: Echo) -> None:
    with _connect(proxy, seconds=0.3) as connection, _connect(proxy) as idle:
        assert _ask(connection, b"one") == b"one"
        assert _ask(idle, b"idle") == b"idle"
        proxy.open_hole()
        with pytest.raises(TimeoutError):
            _ask(connection, b"two")
        assert (echo.open, proxy.swallowed) == (2, 3)
        proxy.heal()
        with pytest.raises(OSError, match="reset"):
            connection.recv(10)
        # A connection that lost nothing continues.
        assert _ask(idle, b"three") == b"three"
    assert b"two" not in echo.received


def test_a_half_open_connection_is_known_to_one_side_only(proxy: Proxy, echo: Echo) -> None:
    with _connect(proxy) as connection:
        assert _ask(connection, b"one") == b"one"
        proxy.half_open()
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    assert (echo.open, proxy.landed) == (1, 1)
    proxy.heal()
    until(lambda: echo.open == 0)


def test_latency_delays_each_piece(proxy: Proxy) -> None:
    proxy.latency_seconds = 0.2
    with _connect(proxy, seconds=0.3) as connection, pytest.raises(TimeoutError):
        _ask(connection, b"one")  # there and back


def test_a_target_that_is_away_ends_the_connection(proxy: Proxy, echo: Echo) -> None:
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()
    with pytest.raises(OSError, match="reset"), _connect(proxy) as connection:
        connection.recv(10)


def test_a_commit_reaches_the_server_and_its_answer_is_lost(proxy: Proxy, echo: Echo) -> None:
    proxy.cut_after_commit(1.0)
    for count in range(1, 11):
        with _connect(proxy) as connection:
            assert _ask(connection, _query("SELECT 1"))
            with pytest.raises(ConnectionResetError):
                _ask(connection, _query("commit"))
        assert proxy.landed == count
        until(lambda count=count: echo.received.count(b"commit") == count)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_commit_is_found_however_the_bytes_are_cut(size: int) -> None:
    stream = (
        _query("COMMIT", number=1) + _query("SELECT '" + "x" * 300 + "COMMIT'") + _query("COMMIT") + _query("BEGIN")
    )
    finder = CommitFinder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert sum(finder.feed(piece) for piece in pieces) == 1
