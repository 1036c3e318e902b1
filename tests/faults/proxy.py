"""A faulty network between two processes: latency, resets, black holes, half-open connections, cuts after COMMIT.

It runs an event loop in its own thread; its methods may be called from any thread. An address is `(host, port)` or the
path of a Unix socket.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

Address = tuple[str, int] | Path

_PIECE_BYTES = 65_536
_LINGER_ZERO = struct.pack("ii", 1, 0)
_COM_QUERY = b"\x03"
_HEAD_BYTES = 4
# A COMMIT is shorter; skip longer packets unread.
_SHORT_BYTES = 32
_PATIENCE_SECONDS = 5.0


@dataclass(slots=True)
class CommitFinder:
    """Parses the bytes that one client sends to a MySQL server, packet by packet.

    A packet: 3 bytes of length (little end first), 1 byte of sequence number (0 begins a command), payload.
    """

    _rest: bytearray = field(default_factory=bytearray)
    _pass_over: int = 0

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether they complete a COMMIT."""
        self._rest += data
        found = False
        while True:
            passed = min(self._pass_over, len(self._rest))
            del self._rest[:passed]
            self._pass_over -= passed
            if self._pass_over or len(self._rest) < _HEAD_BYTES:
                return found
            end = _HEAD_BYTES + int.from_bytes(self._rest[:3], "little")
            if end > _HEAD_BYTES + _SHORT_BYTES:
                self._pass_over = end
                continue
            if len(self._rest) < end:
                return found
            begins_command, payload = self._rest[3] == 0, bytes(self._rest[_HEAD_BYTES:end])
            del self._rest[:end]
            words = payload[1:].strip(b" ;\n").upper()
            found = found or (begins_command and payload[:1] == _COM_QUERY and words == b"COMMIT")


@dataclass(slots=True, eq=False)
class Pair:
    """One connection through the proxy. `lost`: some of its bytes were dropped, so it must never carry any again."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    finder: CommitFinder = field(default_factory=CommitFinder)
    lost: bool = False
    cut_at_answer: bool = False

    def cut(self) -> None:
        """Close both sides: reset the client (TCP only), and let the server receive all bytes that were sent."""
        reset(self.client)
        if self.server is not None:
            self.server.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST (SO_LINGER 0); a Unix socket closes normally."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


class Proxy:
    """Listens at `address` and forwards bytes to `target`. `landed` counts the faults that hit a connection."""

    def __init__(self, address: Address, target: Address) -> None:
        self.address, self.target = address, target
        self.landed = 0
        self.swallowed = 0
        self.delayed = 0
        self.latency_seconds = 0.0
        self.commit_latency_seconds = 0.0
        self.reset_share = 0.0
        self.commit_share = 0.0
        self._hole = False
        self._pairs: set[Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._listens.wait(_PATIENCE_SECONDS), f"nothing listens at {address}"

    def reset_some(self, share: float) -> None:
        """Reset the client of a connection at each piece of data, with this probability."""
        self.reset_share = share

    def cut_after_commit(self, share: float) -> None:
        """Forward this share of the COMMITs and cut the connection: half at once, half when the answer arrives."""
        self.commit_share = share

    def open_hole(self) -> None:
        """Drop every byte from now on and keep every connection open."""
        self._hole = True

    def half_open(self) -> None:
        """Reset the client of every connection; the server does not notice until `heal`."""
        self._call(self._half_open)

    def heal(self) -> None:
        """Stop all faults. Connections that lost bytes are cut now, as when a link recovers."""
        self.latency_seconds = self.commit_latency_seconds = self.reset_share = self.commit_share = 0.0
        self._hole = False
        self._call(self._cut_lost)

    def close(self) -> None:
        """Close all connections and the listener. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_PATIENCE_SECONDS)
            assert not self._thread.is_alive(), "the proxy does not end"
            self._loop.close()

    def _call(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(_PATIENCE_SECONDS), "the proxy does not answer"

    def _half_open(self) -> None:
        for pair in self._pairs:
            if not pair.lost:
                pair.lost = True
                self.landed += 1
                reset(pair.client)

    def _cut_lost(self) -> None:
        for pair in self._pairs:
            if pair.lost:
                pair.cut()

    async def _serve(self) -> None:
        if isinstance(self.address, Path):
            server = await asyncio.start_unix_server(self._carry, self.address)
        else:
            server = await asyncio.start_server(self._carry, *self.address)
        self._listens.set()
        await self._stop.wait()
        server.close()
        for pair in self._pairs:
            pair.cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            # asyncio logs a task that is cancelled at once, so let it end first.
            await asyncio.wait(others, timeout=1.0)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Closed transports get their callbacks in the next iterations of the loop.
        await asyncio.sleep(0.05)

    async def _carry(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        pair = self._new_pair(client)
        self._pairs.add(pair)
        try:
            server_reader, pair.server = await self._connect()
            there = asyncio.create_task(self._pump(pair, client_reader, pair.server, from_client=True))
            back = asyncio.create_task(self._pump(pair, server_reader, client, from_client=False))
            await asyncio.wait({there, back})
        except OSError:
            pass  # the target does not accept: the client's connection is closed below
        finally:
            pair.cut()
            self._pairs.discard(pair)

    def _new_pair(self, client: asyncio.StreamWriter) -> Pair:
        return Pair(client)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _pump(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_client: bool
    ) -> None:
        """Forward one direction until it ends."""
        with suppress(OSError):
            while data := await reader.read(_PIECE_BYTES):
                if self.latency_seconds:
                    self.delayed += 1
                    await asyncio.sleep(self.latency_seconds)
                if not await self._carry_piece(pair, data, writer, from_client=from_client):
                    pair.cut()
                    return
        # Forward a close at once, except inside a black hole, where the other side does not see it.
        while pair.lost:
            if writer.is_closing():
                return
            await asyncio.sleep(0.05)
        writer.close()

    async def _carry_piece(self, pair: Pair, data: bytes, writer: asyncio.StreamWriter, *, from_client: bool) -> bool:
        """Forward, drop or cut; return False if the connection must be closed."""
        if self._hole or pair.lost:
            pair.lost = True
            self.swallowed += len(data)
            return True
        if pair.cut_at_answer and not from_client:
            return False
        is_commit = from_client and pair.finder.feed(data)
        if is_commit and self.commit_latency_seconds:
            self.delayed += 1
            await asyncio.sleep(self.commit_latency_seconds)
        is_commit = is_commit and random.random() < self.commit_share
        is_last = random.random() < self.reset_share
        if is_last and random.random() < 0.5:
            self.landed += 1
            return False
        writer.write(data)
        await writer.drain()
        if is_last:
            self.landed += 1
        if is_commit:
            self.landed += 1
            pair.cut_at_answer = random.random() < 0.5
        return not is_last and (not is_commit or pair.cut_at_answer)
