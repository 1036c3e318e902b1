"""What became of messages, as a judge sees it: the outbox at rest, the senders' own logs, what the platforms took.

Imports nothing of the product and only reads; `invariants.py` judges jobs the same way. The names are those of the
specification:

- I6 every message answered 2xx exists and has its outbox rows, each target once; each row ends sent, dead or withdrawn;
  what ended as sent is at the platform, nothing is there that nobody sent, and nothing twice but for a kill: a sender
  that dies between the platform's answer and its own commit repeats what it had in hand, one message a thread.
- I7 no ledger is over its limit, and no platform has counted more than its ledger. A platform that says "too many" to a
  message that it had not taken was asked for more than it allows.

Logs, beside the fields `t` and `do` that every line has:

- messages-*.jsonl: `message` (user, text, status or null when no answer came, id or null), one for each try. No two
  wishes have the same text; tries of one wish do.
- platforms.jsonl: `taken` (target, text), one for each time a platform showed it to somebody; `over` (target, text),
  one for each time it refused one because of its count; `counted` (ledger: its kind, owner, number), what it has
  counted at the end in the window that the ledger speaks of.
- kills.jsonl: `kill`, one for each process of senders that was killed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.case import Violation
from tests.faults.records import Connection, Line, read_logs, select

_LAST_STATES = frozenset({"sent", "dead", "withdrawn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One row of the outbox."""

    id: str
    message_id: str | None
    target: str
    way: str
    state: str
    has_end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One count: what an owner used of what a platform allows. `kind`: credit (of a window), else a quota's name."""

    kind: str
    owner: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One run. `texts` are the messages by id; `threads` is how many messages one process of senders has in hand."""

    texts: dict[str, str]
    outbox: tuple[Sent, ...]
    ledgers: tuple[Ledger, ...]
    lines: tuple[Line, ...]
    threads: int

    def said(self, do: str) -> Iterator[Line]:
        """Go through the lines of one kind."""
        return (line for line in self.lines if line.do == do)


def check_messages(folder: Path, connection: Connection, *, threads: int) -> list[Violation]:
    """Return every violation that the logs of `folder` and the rows show. Four SELECTs, no write."""
    return judge(read_story(folder, connection, threads=threads))


def judge(story: Story) -> list[Violation]:
    """Return what every rule has against a story."""
    return [violation for rule in RULES for violation in rule(story)]


def read_story(folder: Path, connection: Connection, *, threads: int) -> Story:
    """Read the rows and every log. ValueError names a line that is not of the contract."""
    outbox = select(
        connection,
        "SELECT d.id, d.message_id, d.target, d.way, d.state, d.ended_at FROM notifications_delivery d"
        " WHERE d.kind = 'message'",
    )
    # Backticks: `limit` is a word of SQL, and both databases take them.
    ledgers = select(connection, "SELECT q.kind, q.owner_id, q.used, q.`limit` FROM accounts_quotause q")
    ledgers += select(connection, "SELECT 'credit', c.owner_id, c.used, c.`limit` FROM notifications_chatcredit c")
    return Story(
        texts=dict(select(connection, "SELECT m.id, m.text FROM notifications_message m")),
        outbox=tuple(
            Sent(id=row, message_id=message, target=target, way=way, state=state, has_end=ended is not None)
            for row, message, target, way, state, ended in outbox
        ),
        ledgers=tuple(Ledger(kind=kind, owner=owner, used=used, limit=limit) for kind, owner, used, limit in ledgers),
        lines=tuple(sorted(read_logs(folder), key=lambda line: line.t)),
        threads=threads,
    )


def _stored(story: Story) -> Iterator[Violation]:
    """I6: accepted means stored, as it was said, with somebody to tell."""
    rows = Counter(row.message_id for row in story.outbox)
    for line in story.said("message"):
        if not line.accepted:
            continue
        message_id = str(line["id"])
        if message_id not in story.texts:
            yield _i6(f"message {message_id} was answered {line['status']}, and there is no such message")
        elif story.texts[message_id] != line["text"]:
            yield _i6(f"message {message_id} says {story.texts[message_id][:60]!r}, sent was {line['text'][:60]!r}")
        elif not rows[message_id]:
            yield _i6(f"message {message_id} has no row in the outbox")


def _ended(story: Story) -> Iterator[Violation]:
    """I6: a target once, and every row at its end."""
    told = Counter((row.message_id, row.target, row.way) for row in story.outbox)
    for (message_id, target, way), times in told.items():
        if times > 1:
            yield _i6(f"message {message_id} stands {times} times in the outbox for {target} {way}".rstrip())
    for row in story.outbox:
        if row.state not in _LAST_STATES:
            yield _i6(f"row {row.id} is {row.state} at rest")
        elif not row.has_end:
            yield _i6(f"row {row.id} is {row.state} and has no end")


def _arrived(story: Story) -> Iterator[Violation]:
    """I6: what was sent is there, what is there was sent, and a repeat needs a kill."""
    taken = Counter((str(line["target"]), str(line["text"])) for line in story.said("taken"))
    there = {text for _target, text in taken}
    for message_id in {row.message_id for row in story.outbox if row.state == "sent" and row.message_id}:
        text = story.texts.get(message_id, "")
        if text not in there:
            yield _i6(f"message {message_id} was sent, and no platform has {text[:60]!r}")
    wished = {str(line["text"]) for line in story.said("message")}
    for text in sorted(there - wished):
        yield _i6(f"a platform has {text[:60]!r}, which nobody sent")
    kills = sum(1 for _line in story.said("kill"))
    repeats: defaultdict[str, int] = defaultdict(int)
    for (target, _text), times in taken.items():
        repeats[target] += times - 1
    # A target's messages go one after the other, so that one kill repeats one of them at most.
    for target, times in repeats.items():
        if times > kills:
            yield _i6(f"{times} repeats at {target}, after {kills} kills")
    if sum(repeats.values()) > kills * story.threads:
        yield _i6(f"{sum(repeats.values())} repeats, after {kills} kills of {story.threads} threads each")


def _within(story: Story) -> Iterator[Violation]:
    """I7: the ledger within its limit, the platform within the ledger."""
    used: Counter[tuple[object, object]] = Counter()
    for ledger in story.ledgers:
        used[ledger.kind, ledger.owner] += ledger.used
        if ledger.used > ledger.limit:
            yield _i7(f"{ledger.kind} of {ledger.owner}: {ledger.used} used of {ledger.limit}")
    for line in story.said("counted"):
        known = used[line["ledger"], line["owner"]]
        if line["number"] > known:
            yield _i7(f"{line['ledger']} of {line['owner']}: {known} in the ledger, {line['number']} at the platform")


def _asked(story: Story) -> Iterator[Violation]:
    """I7: nobody is refused for a count, but for what the platform has already."""
    seen: set[tuple[object, object]] = set()
    for line in story.lines:
        if line.do == "taken":
            seen.add((line["target"], line["text"]))
        elif line.do == "over" and (line["target"], line["text"]) not in seen:
            yield _i7(f"{line['target']} refused {line['text'][:60]!r}: more than it allows")


def _i6(text: str) -> Violation:
    return Violation(invariant="I6", job_id="", text=text)


def _i7(text: str) -> Violation:
    return Violation(invariant="I7", job_id="", text=text)


RULES: Iterable[Callable[[Story], Iterator[Violation]]] = (_stored, _ended, _arrived, _within, _asked)
"""Every rule."""
