"""The state that all platforms share: people, conversations, logged requests, random numbers and time."""

from __future__ import annotations

import asyncio
import random
import string
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from devtools.simulator.clock import Clock
from devtools.simulator.faults import Faults

_HOPS_KEPT: Final = 20_000
_WAITING_EVENTS: Final = 10_000
_WORD_CHARACTERS: Final = string.ascii_letters + string.digits


@dataclass(slots=True, kw_only=True)
class Chat:
    """A conversation: with a person (`user`), or with a group or address that only receives (`room`)."""

    id: str
    platform: str
    name: str
    kind: str


@dataclass(slots=True, kw_only=True)
class Entry:
    """One thing that a conversation shows.

    `who`: user, account, system. `via`: text, menu, passive, kf, template, robot, app, bot, typing, system, ...
    `left`, `until`: the customer-service messages that remain afterwards, and the end of their window (virtual).
    """

    seq: int
    chat: str
    at: float
    who: str
    via: str
    text: str
    left: int | None
    until: float | None
    extra: dict[str, object]

    def shown(self) -> dict[str, object]:
        """Return the entry as JSON, with the `extra` fields beside the others."""
        return {
            "seq": self.seq,
            "chat": self.chat,
            "at": self.at,
            "who": self.who,
            "via": self.via,
            "text": self.text,
            "left": self.left,
            "until": self.until,
            **self.extra,
        }


@dataclass(slots=True, kw_only=True)
class Hop:
    """One logged request: `in` a call of the product, `out` a push to it. `at` is real time; `status` 0: no answer."""

    direction: str
    platform: str
    method: str
    url: str
    path: str
    chat: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    plain: str = ""
    status: int = 0
    answer: str = ""
    note: str = ""
    attempt: int = 0
    at: float = field(default_factory=time.time)
    ms: float = 0.0
    seq: int = 0

    def shown(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class Stream:
    """The listeners of the event stream. It survives a reset."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[tuple[str, object]]] = set()

    def open(self) -> asyncio.Queue[tuple[str, object]]:
        """Add a listener and return its queue of (kind, value)."""
        queue: asyncio.Queue[tuple[str, object]] = asyncio.Queue(_WAITING_EVENTS)
        self._listeners.add(queue)
        return queue

    def close(self, queue: asyncio.Queue[tuple[str, object]]) -> None:
        self._listeners.discard(queue)

    def publish(self, kind: str, value: object) -> None:
        """Send to every listener. A full queue drops its oldest event."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((kind, value))


class World:
    """The state that a reset discards."""

    def __init__(self, *, seed: int, base: str, stream: Stream) -> None:
        self.base = base
        self.clock = Clock()
        self.faults = Faults()
        self.chats: dict[str, Chat] = {}
        self.rng = random.Random(seed)
        self._stream = stream
        self._entries: list[Entry] = []
        self._hops: deque[Hop] = deque(maxlen=_HOPS_KEPT)
        self._hop_count = 0
        self._tasks: set[asyncio.Task[object]] = set()

    def word(self, length: int, *, more: str = "") -> str:
        """Return random letters and digits."""
        return "".join(self.rng.choices(_WORD_CHARACTERS + more, k=length))

    def rid(self) -> str:
        """Return a request id in WeChat's format."""
        return "-".join(f"{self.rng.getrandbits(32):08x}" for _ in range(3))

    def new_chat(self, *, chat_id: str, platform: str, name: str, kind: str) -> Chat:
        """Add a conversation. Raises ValueError where the id is taken."""
        if chat_id in self.chats:
            raise ValueError(f"{chat_id} is taken")
        chat = Chat(id=chat_id, platform=platform, name=name, kind=kind)
        self.chats[chat_id] = chat
        self.publish("people", None)
        return chat

    def room(self, platform: str, key: str) -> Chat:
        """Return the conversation of an address that only receives; its first message creates it."""
        chat_id = f"{platform}:{key}"
        return self.chats.get(chat_id) or self.new_chat(chat_id=chat_id, platform=platform, name=key, kind="room")

    def note(
        self,
        chat: Chat,
        who: str,
        via: str,
        text: str,
        *,
        left: int | None = None,
        until: float | None = None,
        **extra: object,
    ) -> Entry:
        """Show something in a conversation."""
        entry = Entry(
            seq=len(self._entries) + 1,
            chat=chat.id,
            at=self.clock.now(),
            who=who,
            via=via,
            text=text,
            left=left,
            until=until,
            extra=extra,
        )
        self._entries.append(entry)
        self.publish("entry", entry.shown())
        return entry

    def transcript(self, chat_id: str, after: int) -> list[dict[str, object]]:
        """Return the entries of a conversation after an entry's number."""
        return [entry.shown() for entry in self._entries[after:] if entry.chat == chat_id]

    @property
    def last_seq(self) -> int:
        """The newest entry's number."""
        return len(self._entries)

    def log(self, hop: Hop) -> None:
        self._hop_count += 1
        hop.seq = self._hop_count
        self._hops.append(hop)
        self.publish("hop", hop.shown())

    def hops(self, *, direction: str, path: str, chat: str, after: int) -> list[dict[str, object]]:
        """Return the logged requests whose path matches a glob, oldest first; "" matches any."""
        return [
            hop.shown()
            for hop in self._hops
            if hop.seq > after
            and (not direction or hop.direction == direction)
            and (not path or fnmatchcase(hop.path, path))
            and (not chat or hop.chat == chat)
        ]

    def publish(self, kind: str, value: object) -> None:
        """Send an event to the listeners."""
        self._stream.publish(kind, value)

    def later(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run a coroutine in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self) -> None:
        """Cancel the coroutines in the background."""
        for task in self._tasks:
            task.cancel()
