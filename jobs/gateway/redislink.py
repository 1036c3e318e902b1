"""The gateway's own connection to Redis: one per process, every command of a loop turn in one write.

Redis is a hint. Every fault raises NoRedis within 0.1 s, and the caller asks the database instead.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from accounts.credentials import Principal
from kernel.failpoints import reach
from kernel.limits import REDIS_WITHIN_SECONDS, NoCounter, Tally, count_command, read_reply
from kernel.rediskeys import READY_PREFIX, READY_SECONDS

logger = logging.getLogger(__name__)

_ANSWER_WITHIN_SECONDS = REDIS_WITHIN_SECONDS
_CONNECT_WITHIN_SECONDS = 2.0
_RETRY_AFTER_SECONDS = 1.0
_UNANSWERED_LIMIT = 10_000


class NoRedis(NoCounter):
    """Redis is away, slow, or refused the command."""


class _Protocol(asyncio.Protocol):
    """Replies to commands in their order; messages of a subscription go to `on_push`."""

    def __init__(self, on_push: Callable[[list[object]], None] | None) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[object] | None] = deque()
        self._unsent: list[bytes] = []
        self._on_push = on_push
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._hand_out(data)
        except Exception:
            # The following replies cannot be matched to commands any more, so the connection is replaced.
            logger.exception("Redis was not understood", extra={"action": "redis.bug"})
            self.close()

    def _hand_out(self, data: bytes) -> None:
        reach("redis.before_replies")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if self._waiting:
                future = self._waiting.popleft()
                if future is not None and not future.done():
                    future.set_result(reply)
            elif self._on_push and isinstance(reply, list):
                self._on_push(reply)

    def connection_lost(self, error: Exception | None) -> None:
        for future in self._waiting:
            if future is not None and not future.done():
                future.set_exception(NoRedis())
        if not self.closed.done():
            self.closed.set_result(None)

    def send(self, *command: str) -> asyncio.Future[object]:
        """Queue a command; all that are queued in this turn of the loop leave in one write."""
        if self.closed.done():
            raise NoRedis
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue(command, future)
        return future

    def tell(self, *command: str) -> None:
        """Queue a command and ignore its reply. Closes a connection with too many commands that are not answered."""
        if self.closed.done():
            return
        if len(self._waiting) >= _UNANSWERED_LIMIT:
            self.close()
            return
        self._queue(command, None)

    def _queue(self, command: tuple[str, ...], future: asyncio.Future[object] | None) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # the stubs mean any length, and say one
        self._unsent.append(packed)
        self._waiting.append(future)

    def close(self) -> None:
        """Drop the connection."""
        self._transport.abort()  # type: ignore[attr-defined]

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        self._transport.write(data)  # type: ignore[attr-defined]


class RedisLink:
    """Keeps a command connection and a subscription alive, and tells `on_connection` when they come up and go down."""

    def __init__(
        self, url: str, *, channel: str, on_message: Callable[[str], None], on_connection: Callable[[bool], None]
    ) -> None:
        self._url = urlsplit(url)
        self._channel = channel
        self._on_message = on_message
        self._on_connection = on_connection
        self._commands: _Protocol | None = None

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_CONNECT_WITHIN_SECONDS):
                    subscription = await self._open(self._push)
                    commands = await self._open(None)
                    await subscription.send("SUBSCRIBE", self._channel)
            except (OSError, TimeoutError, NoRedis, hiredis.HiredisError) as error:
                logger.warning("no Redis", extra={"action": "redis.away", "error": type(error).__name__})
                await asyncio.sleep(_RETRY_AFTER_SECONDS)
                continue
            self._commands = commands
            try:
                self._on_connection(True)
                await asyncio.wait({subscription.closed, commands.closed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._commands = None
                self._on_connection(False)
                subscription.close()
                commands.close()

    async def take_flag(self, principal: Principal) -> bool:
        """Remove the flag of an agent and tell whether it may have work. True while only the database knows."""
        reach("flag.before_take")
        try:
            taken = await self._answer("GETDEL", READY_PREFIX + principal.agent_id) is not None
        except NoRedis:
            return True
        reach("flag.after_take")
        return taken

    def set_flag(self, agent_id: str) -> None:
        """Set the flag of an agent without waiting. It leaves before the answer does: a poll after a 201 finds it.

        While Redis is away nothing is set; the sweep does it later.
        """
        if self._commands:
            reach("flag.before_tell")
            self._commands.tell("SET", READY_PREFIX + agent_id, "1", "EX", str(READY_SECONDS))
            reach("flag.after_tell")

    async def count(self, key: str, add: int) -> Tally:
        """Add to a counter of `kernel.limits` and tell what it says. Raises NoCounter."""
        reach("gateway_limit.before_count")
        reply = await self._answer(*count_command(key, add))
        reach("gateway_limit.after_count")
        return read_reply(reply)

    async def _answer(self, *command: str) -> object:
        commands = self._commands
        if commands is None:
            raise NoRedis
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_SECONDS):
                reply = await commands.send(*command)
        except TimeoutError as error:
            # Every poll would wait for a connection that does not answer, so it is closed and `run` opens another.
            commands.close()
            self._commands = None
            raise NoRedis from error
        if isinstance(reply, hiredis.ReplyError):
            raise NoRedis
        return reply

    async def _open(self, on_push: Callable[[list[object]], None] | None) -> _Protocol:
        loop, url = asyncio.get_running_loop(), self._url
        if url.scheme == "unix":
            opening: Awaitable[tuple[asyncio.BaseTransport, _Protocol]]
            opening = loop.create_unix_connection(lambda: _Protocol(on_push), unquote(url.path))
        else:
            context = ssl.create_default_context() if url.scheme == "rediss" else None
            host = url.hostname or "127.0.0.1"
            opening = loop.create_connection(lambda: _Protocol(on_push), host, url.port or 6379, ssl=context)
        _transport, protocol = await opening
        if url.password:
            user = [unquote(url.username)] if url.username else []
            await self._expect_ok(protocol, "AUTH", *user, unquote(url.password))
        database = parse_qs(url.query).get("db", [url.path.strip("/") if url.scheme != "unix" else ""])[0]
        if database not in ("", "0"):
            await self._expect_ok(protocol, "SELECT", database)
        return protocol

    @staticmethod
    async def _expect_ok(protocol: _Protocol, *command: str) -> None:
        if isinstance(await protocol.send(*command), hiredis.ReplyError):
            protocol.close()
            raise NoRedis

    def _push(self, message: list[object]) -> None:
        match message:
            case [b"message", _, bytes() as payload]:
                self._on_message(payload.decode(errors="replace"))
            case _:
                return
