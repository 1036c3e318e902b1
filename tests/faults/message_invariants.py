"""The checker of messages: compares the outbox at rest, the senders' logs and the platforms' logs with the rules.

It imports nothing of the product and only reads; `invariants.py` checks jobs the same way. The names are those of the
specification:

- I6 every message answered 2xx exists and has its outbox rows, each target once; each row ends sent, dead or withdrawn;
  the platform has every sent message and no others, and none twice except after a kill: a sender that dies between the
  platform's answer and its own commit sends its current messages again, one per thread.
- I7 no ledger is over its limit, and no platform has counted more than its ledger. A platform that answers "too many"
  to a message that it does not have yet was sent more than it allows.

Logs, beside the fields `t` and `do` that every line has:

- messages-*.jsonl: `message` (user, text, status or null when no answer came, id or null), one for each attempt.
  Attempts of one message have the same text, two messages never.
- platforms.jsonl: `taken` (target, text), one for each time a platform showed it to a person; `over` (target, text),
  one for each time it refused one because of its count; `counted` (ledger: its kind, owner, number), its count at the
  end, in the window of the ledger.
- kills.jsonl: `kill`, one for each killed process of senders.
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
    """The messages that an owner used of a platform's limit. `kind`: credit (of a window), else a quota's name."""

    kind: str
    owner: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCase:
    """One run. `texts` are the messages by id; `threads` is how many messages one process sends at a time."""

    texts: dict[str, str]
    outbox: tuple[Sent, ...]
    ledgers: tuple[Ledger, ...]
    lines: tuple[Line, ...]
    threads: int

    def lines_of(self, do: str) -> Iterator[Line]:
        """Go through the lines of one kind."""
        return (line for line in self.lines if line.do == do)


def check_messages(folder: Path, connection: Connection, *, threads: int) -> list[Violation]:
    """Return every violation that the logs of `folder` and the rows show. Four SELECTs, no write."""
    return find_violations(read_case(folder, connection, threads=threads))


def find_violations(case: MessageCase) -> list[Violation]:
    """Return the violations of every rule."""
    return [violation for rule in RULES for violation in rule(case)]


def read_case(folder: Path, connection: Connection, *, threads: int) -> MessageCase:
    """Read the rows and every log. Raises ValueError with the file and line of an invalid one."""
    outbox = select(
        connection,
        "SELECT d.id, d.message_id, d.target, d.way, d.state, d.ended_at FROM notifications_delivery d"
        " WHERE d.kind = 'message'",
    )
    # `limit` is reserved in SQL; both databases accept backticks.
    ledgers = select(connection, "SELECT q.kind, q.owner_id, q.used, q.`limit` FROM accounts_quotause q")
    ledgers += select(connection, "SELECT 'credit', c.owner_id, c.used, c.`limit` FROM notifications_chatcredit c")
    return MessageCase(
        texts=dict(select(connection, "SELECT m.id, m.text FROM notifications_message m")),
        outbox=tuple(
            Sent(id=row, message_id=message, target=target, way=way, state=state, has_end=ended is not None)
            for row, message, target, way, state, ended in outbox
        ),
        ledgers=tuple(Ledger(kind=kind, owner=owner, used=used, limit=limit) for kind, owner, used, limit in ledgers),
        lines=tuple(sorted(read_logs(folder), key=lambda line: line.t)),
        threads=threads,
    )


def _stored(case: MessageCase) -> Iterator[Violation]:
    """I6: an accepted message is stored with its text and at least one target."""
    rows = Counter(row.message_id for row in case.outbox)
    for line in case.lines_of("message"):
        if not line.accepted:
            continue
        message_id = str(line["id"])
        if message_id not in case.texts:
            yield _i6(f"message {message_id} was answered {line['status']}, and there is no such message")
        elif case.texts[message_id] != line["text"]:
            yield _i6(f"message {message_id} says {case.texts[message_id][:60]!r}, sent was {line['text'][:60]!r}")
        elif not rows[message_id]:
            yield _i6(f"message {message_id} has no row in the outbox")


def _ended(case: MessageCase) -> Iterator[Violation]:
    """I6: each target has one row, and every row has ended."""
    rows = Counter((row.message_id, row.target, row.way) for row in case.outbox)
    for (message_id, target, way), times in rows.items():
        if times > 1:
            yield _i6(f"message {message_id} is {times} times in the outbox for {target} {way}".rstrip())
    for row in case.outbox:
        if row.state not in _LAST_STATES:
            yield _i6(f"row {row.id} is {row.state} at rest")
        elif not row.has_end:
            yield _i6(f"row {row.id} is {row.state} and has no end")


def _arrived(case: MessageCase) -> Iterator[Violation]:
    """I6: platforms have every sent message and no others; a repeat needs a kill."""
    taken = Counter((str(line["target"]), str(line["text"])) for line in case.lines_of("taken"))
    there = {text for _target, text in taken}
    for message_id in {row.message_id for row in case.outbox if row.state == "sent" and row.message_id}:
        text = case.texts.get(message_id, "")
        if text not in there:
            yield _i6(f"message {message_id} was sent, and no platform has {text[:60]!r}")
    requested = {str(line["text"]) for line in case.lines_of("message")}
    for text in sorted(there - requested):
        yield _i6(f"a platform has {text[:60]!r}, which was never sent")
    kills = sum(1 for _line in case.lines_of("kill"))
    repeats: defaultdict[str, int] = defaultdict(int)
    for (target, _text), times in taken.items():
        repeats[target] += times - 1
    # Messages to one target are sent in sequence, so that a kill repeats at most one of them.
    for target, times in repeats.items():
        if times > kills:
            yield _i6(f"{times} repeats at {target}, after {kills} kills")
    if sum(repeats.values()) > kills * case.threads:
        yield _i6(f"{sum(repeats.values())} repeats, after {kills} kills of {case.threads} threads each")


def _within(case: MessageCase) -> Iterator[Violation]:
    """I7: a ledger is within its limit, and the platform's count within the ledger."""
    used: Counter[tuple[object, object]] = Counter()
    for ledger in case.ledgers:
        used[ledger.kind, ledger.owner] += ledger.used
        if ledger.used > ledger.limit:
            yield _i7(f"{ledger.kind} of {ledger.owner}: {ledger.used} used of {ledger.limit}")
    for line in case.lines_of("counted"):
        known = used[line["ledger"], line["owner"]]
        if line["number"] > known:
            yield _i7(f"{line['ledger']} of {line['owner']}: {known} in the ledger, {line['number']} at the platform")


def _asked(case: MessageCase) -> Iterator[Violation]:
    """I7: a platform refuses a message for its count only if it has the message already."""
    seen: set[tuple[object, object]] = set()
    for line in case.lines:
        if line.do == "taken":
            seen.add((line["target"], line["text"]))
        elif line.do == "over" and (line["target"], line["text"]) not in seen:
            yield _i7(f"{line['target']} refused {line['text'][:60]!r}: more than it allows")


def _i6(text: str) -> Violation:
    return Violation(invariant="I6", job_id="", text=text)


def _i7(text: str) -> Violation:
    return Violation(invariant="I7", job_id="", text=text)


RULES: Iterable[Callable[[MessageCase], Iterator[Violation]]] = (_stored, _ended, _arrived, _within, _asked)
"""Every rule."""
