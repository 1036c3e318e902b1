"""A faulty network that parses HTTP: it loses answers of claims and sends every PUT three times, out of order."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field

from tests.faults.proxy import Address, Pair, Proxy

_CLAIM = "GET /agent/job"
_ENDS = {"succeed": "fail", "fail": "succeed"}
_COPIES = 2
# Delay one request in two as long as its copies, so that some copies arrive first.
_REORDER_SECONDS = 0.3
_ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request or an answer. `start` is its first line; the names of headers are in lower case."""

    start: str
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def status(self) -> int:
        """Return an answer's status."""
        return int(self.start.split()[1])

    @property
    def words(self) -> list[str]:
        """Return method and path of a request, cut at the slashes."""
        return "/".join(self.start.split()[:2]).split("/")


@dataclass(slots=True)
class MessageFinder:
    """Parses one direction of an HTTP/1.1 connection, in which every body has a Content-Length."""

    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; return the messages that they complete."""
        self._rest += data
        found = []
        while (head_end := self._rest.find(b"\r\n\r\n")) >= 0:
            start, *lines = self._rest[:head_end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            begin = head_end + 4
            end = begin + int(headers.get("content-length", 0))
            if len(self._rest) < end:
                break
            raw = bytes(self._rest[:end])
            found.append(Message(start=start, headers=headers, body=raw[begin:], raw=raw))
            del self._rest[:end]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The answer to a replayed report. `contrary`: it reported the other outcome. `code`: that of an error, or ""."""

    job_id: str
    protocol: int
    kind: str
    contrary: bool
    status: int
    code: str


@dataclass(slots=True, eq=False)
class _WebPair(Pair):
    asks: MessageFinder = field(default_factory=MessageFinder)
    answers: MessageFinder = field(default_factory=MessageFinder)
    asked: Message | None = None
    held: bytearray = field(default_factory=bytearray)


class WebProxy(Proxy):
    """Forwards complete answers. `lost`: jobs whose claim was not answered; `replayed`: answers to replayed reports."""

    def __init__(self, address: Address, target: Address) -> None:
        self.lost: list[str] = []
        self.replayed: list[Replayed] = []
        self._lost_share = 0.0
        self._replays = False
        self._copies: list[asyncio.Task[None]] = []
        super().__init__(address, target)

    def lose_claims(self, share: float) -> None:
        """Cut this share of the connections that carry a job to an agent, just before its client receives it."""
        self._lost_share = share

    def replay_puts(self) -> None:
        """Send every PUT twice more over other connections, some before the original, then the opposite report."""
        self._replays = True

    def heal(self) -> None:
        """Stop all faults, and return when every copy is answered."""
        self._lost_share, self._replays = 0.0, False
        super().heal()
        asyncio.run_coroutine_threadsafe(self._finish_copies(), self._loop).result(3 * _ANSWER_SECONDS)

    async def _finish_copies(self) -> None:
        await asyncio.gather(*self._copies)
        self._copies.clear()

    def _new_pair(self, client: asyncio.StreamWriter) -> Pair:
        return _WebPair(client)

    async def _carry_piece(self, pair: Pair, data: bytes, writer: asyncio.StreamWriter, *, from_client: bool) -> bool:
        assert isinstance(pair, _WebPair)
        if from_client:
            for request in pair.asks.feed(data):
                pair.asked = request
                if self._replays and request.start.startswith("PUT "):
                    self._copies.append(asyncio.create_task(self._replay(request)))
                    await asyncio.sleep(random.choice((0.0, _REORDER_SECONDS)))
            return await super()._carry_piece(pair, data, writer, from_client=True)
        pair.held += data
        answers = pair.answers.feed(data)
        if not answers:
            return True
        if self._is_lost(pair, answers[-1]):
            return False
        whole = bytes(pair.held)
        pair.held.clear()
        return await super()._carry_piece(pair, whole, writer, from_client=False)

    def _is_lost(self, pair: _WebPair, answer: Message) -> bool:
        is_claim = pair.asked is not None and pair.asked.start.startswith(_CLAIM) and answer.status == 200
        if not is_claim or random.random() >= self._lost_share:
            return False
        self.lost.append(json.loads(answer.body)["id"])
        self.landed += 1
        return True

    async def _replay(self, request: Message) -> None:
        *_before, job_id, kind = request.words
        self.landed += 1
        again = [self._say(request.raw, random.uniform(0, 4 * _REORDER_SECONDS)) for _ in range(_COPIES)]
        answers = await asyncio.gather(*again)
        replies = [(answer, False) for answer in answers if answer is not None]
        if kind in _ENDS and any(_is_settled(answer) for answer, _contrary in replies):
            contrary = request.raw.replace(f"/{kind} ".encode(), f"/{_ENDS[kind]} ".encode(), 1)
            answer = await self._say(contrary, random.uniform(0, _REORDER_SECONDS))
            replies += [(answer, True)] if answer is not None else []
        for answer, is_contrary in replies:
            self.replayed.append(
                Replayed(
                    job_id=job_id,
                    protocol=int(request.headers.get("skadi-protocol", 1)),
                    kind=kind,
                    contrary=is_contrary,
                    status=answer.status,
                    code=_code(answer),
                )
            )

    async def _say(self, raw: bytes, delay: float) -> Message | None:
        """Send a request over its own connection; return the answer or None."""
        await asyncio.sleep(delay)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await self._connect()
                try:
                    writer.write(raw)
                    finder = MessageFinder()
                    while data := await reader.read(65_536):
                        if found := finder.feed(data):
                            return found[0]
                finally:
                    writer.close()
        return None


def _is_settled(answer: Message) -> bool:
    """Return whether the answer means that the job has ended."""
    return answer.status == 204 or _code(answer) == "JobFinished"


def _code(answer: Message) -> str:
    return str(json.loads(answer.body)["error"]) if answer.status >= 400 else ""
