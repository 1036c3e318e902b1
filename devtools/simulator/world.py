"""What all platforms share: the people, what was shown to them, what went over the wire, chance and time."""

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
    """A conversation: with a person (`user`), or a group or address that only listens (`room`)."""

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
        """As JSON; what only some entries have stands beside the rest."""
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
    """One exchange over the wire: `in` a call of the product, `out` a push to it. `at` is real, `status` 0: none."""

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
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class Stream:
    """Everybody who watches; outlives a reset."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[tuple[str, object]]] = set()

    def open(self) -> asyncio.Queue[tuple[str, object]]:
        """Begin to listen."""
        queue: asyncio.Queue[tuple[str, object]] = asyncio.Queue(_WAITING_EVENTS)
        self._listeners.add(queue)
        return queue

    def close(self, queue: asyncio.Queue[tuple[str, object]]) -> None:
        """Stop listening."""
        self._listeners.discard(queue)

    def publish(self, kind: str, value: object) -> None:
        """Tell everybody. Who does not read loses the oldest."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((kind, value))


class World:
    """Everything that a reset throws away."""

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
        """Letters and digits by chance."""
        return "".join(self.rng.choices(_WORD_CHARACTERS + more, k=length))

    def rid(self) -> str:
        """A request id as WeChat writes it."""
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
        """The conversation of an address that only listens; it appears with its first message."""
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
        """What a conversation shows after an entry."""
        return [entry.shown() for entry in self._entries[after:] if entry.chat == chat_id]

    @property
    def last_seq(self) -> int:
        """The newest entry's number."""
        return len(self._entries)

    def log(self, hop: Hop) -> None:
        """Keep an exchange."""
        self._hop_count += 1
        hop.seq = self._hop_count
        self._hops.append(hop)
        self.publish("hop", hop.shown())

    def hops(self, *, direction: str, path: str, chat: str, after: int) -> list[dict[str, object]]:
        """Exchanges whose path matches a glob, oldest first; an empty word stands for any."""
        return [
            hop.shown()
            for hop in self._hops
            if hop.seq > after
            and (not direction or hop.direction == direction)
            and (not path or fnmatchcase(hop.path, path))
            and (not chat or hop.chat == chat)
        ]

    def publish(self, kind: str, value: object) -> None:
        """Tell who watches."""
        self._stream.publish(kind, value)

    def later(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Let something happen beside what is going on."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self) -> None:
        """Stop what goes on beside."""
        for task in self._tasks:
            task.cancel()
