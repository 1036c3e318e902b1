"""Reads the records of one run: the clients' own logs (JSON lines) and the rows at rest. The rules are elsewhere.

It knows the format of the logs and the names of five tables, and imports nothing of the product. A log line has `t`
(seconds of this host's monotonic clock) and `do`; its other fields depend on `do`:

- submit-*.jsonl: `submit` (key or null, agent, message, status or null when no answer came, id or null), one for each
  attempt, optionally with `distinct`; `delay` (message, status, id), the same for a delayed job; `read` (id, status:
  the job's). Two keys of one agent must have different messages, so that the jobs of a key can be counted.
- old-*.jsonl, the clients that acknowledge nothing: `claimed`, `started`, `ended` (agent, id), `report` (agent, id,
  kind, status, text).
- runs.jsonl, written by the commands themselves: `started`, `ended` (agent, id, pid).
- faults.jsonl: `fault`, `healed` (component, kind).

An agent is named by its id or by its name.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class Cursor(Protocol):
    """The used part of a DB-API cursor."""

    def execute(self, query: str) -> Any: ...

    def fetchall(self) -> Iterable[tuple[Any, ...]]: ...

    def close(self) -> None: ...


class Connection(Protocol):
    """The used part of a DB-API connection: sqlite3's, MySQLdb's and Django's match."""

    def cursor(self) -> Any: ...


_SHARED = "SELECT q.id FROM jobs_queue q WHERE q.agent_id IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of the audit trail of a job. `before` is empty for the first."""

    number: int
    at: dt.datetime
    before: str
    after: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job's row, with its events by number and the stored result (None: no output row)."""

    id: str
    owner_id: str
    agent_id: str | None
    queue_id: str | None
    message: str
    status: str
    late: bool
    root_id: str
    attempt: int
    protocol: int
    active_at: dt.datetime
    expires_at: dt.datetime | None
    lease_until: dt.datetime | None
    result: str | None
    events: tuple[Event, ...]
    parent_id: str | None = None
    distinct_slot: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delayed:
    """A delayed job's row. `makes_a_job`: it has an agent or a queue that accepts it."""

    id: str
    message: str
    state: str
    due_at: dt.datetime
    fired_at: dt.datetime | None = None
    makes_a_job: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent's row."""

    id: str
    owner_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log. Reading a field that the line does not have gives None."""

    t: float
    do: str
    source: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields.get(name)

    @property
    def accepted(self) -> bool:
        """Whether the answer was 2xx."""
        status = self["status"]
        return isinstance(status, int) and 200 <= status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All records of one run. Lines are ordered by time; windows are (from, until) of active faults.

    `shared`: queues that run on a group of agents or are pulled by programs.
    """

    jobs: dict[str, Row]
    agents: dict[str, Agent]
    widths: dict[str, int]
    shared: frozenset[str] = frozenset()
    delayed: dict[str, Delayed] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    windows: tuple[tuple[float, float], ...] = ()
    by_do: dict[str, list[Line]] = field(default_factory=dict)

    def lines_of(self, *what: str) -> Iterator[Line]:
        """Yield the lines of these kinds, one kind after the other, each ordered by time."""
        for do in what:
            yield from self.by_do.get(do, [])

    def is_called(self, agent_id: str | None, called: object) -> bool:
        """Return whether a log's agent, an id or a name, is this one."""
        if agent_id is None:
            return False
        agent = self.agents.get(agent_id)
        return called == agent_id or (agent is not None and called == agent.name)


def read_records(folder: Path, connection: Connection) -> Records:
    """Read the logs of a folder, if any, and the rows. Raises ValueError with file and line of an invalid one."""
    lines = sorted(read_logs(folder), key=lambda line: line.t)
    by_do: defaultdict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_do[line.do].append(line)
    events: defaultdict[str, list[Event]] = defaultdict(list)
    # `before` is reserved on MySQL, so qualify it.
    for job_id, number, at, before, after, actor in select(
        connection,
        "SELECT e.job_id, e.number, e.at, e.before, e.after, e.actor FROM jobs_jobevent e ORDER BY e.job_id, e.number",
    ):
        events[job_id].append(Event(number=number, at=_utc(at), before=before, after=after, actor=actor))
    results = dict(select(connection, "SELECT o.job_id, o.result FROM jobs_joboutput o"))
    jobs = {}
    for row in select(
        connection,
        "SELECT j.id, j.owner_id, j.agent_id, j.queue_id, j.message, j.status, j.late, j.root_id, j.attempt,"
        " j.protocol, j.active_at, j.expires_at, j.lease_until, j.parent_id, j.distinct_slot, j.priority"
        " FROM jobs_job j",
    ):
        names = ("id", "owner_id", "agent_id", "queue_id", "message", "status", "late", "root_id", "attempt")
        jobs[row[0]] = Row(
            **dict(zip(names, row[:9], strict=True)) | {"late": bool(row[6])},
            protocol=row[9],
            active_at=_utc(row[10]),
            expires_at=_utc_or_none(row[11]),
            lease_until=_utc_or_none(row[12]),
            result=results.get(row[0]),
            events=tuple(events.pop(row[0], ())),
            parent_id=row[13],
            distinct_slot=row[14],
            priority=row[15],
        )
    agents = select(connection, "SELECT a.id, a.owner_id, a.name FROM agents_agent a")
    delayed = [
        Delayed(
            id=one,
            message=message,
            state=state,
            due_at=_utc(due_at),
            fired_at=_utc_or_none(fired_at),
            makes_a_job=not url and reason != "duplicate",
        )
        for one, message, state, due_at, fired_at, url, reason in select(
            connection,
            "SELECT d.id, d.message, d.state, d.due_at, d.fired_at, d.url, d.reason FROM jobs_delayedjob d",
        )
    ]
    return Records(
        jobs=jobs,
        delayed={row.id: row for row in delayed},
        agents={one: Agent(id=one, owner_id=owner, name=name) for one, owner, name in agents},
        widths=dict(select(connection, "SELECT q.id, q.width FROM jobs_queue q")),
        shared=frozenset(one for (one,) in select(connection, _SHARED)),
        lines=tuple(lines),
        windows=tuple(_windows(lines)),
        by_do=dict(by_do),
    )


def read_logs(folder: Path) -> Iterator[Line]:
    """Yield the lines of every log of a folder. Raises ValueError with the file and line of an invalid one."""
    for path in sorted(folder.glob("*.jsonl")):
        # A killed writer leaves an incomplete last line; an incomplete line elsewhere is an error.
        whole = path.read_text(encoding="utf-8").split("\n")[:-1]
        for number, text in enumerate(whole, 1):
            try:
                fields = json.loads(text)
                yield Line(float(fields["t"]), fields["do"], path.name, fields)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path.name}, line {number}: {error!r} in {text[:200]!r}") from error


def _windows(lines: Iterable[Line]) -> Iterator[tuple[float, float]]:
    """Yield the merged intervals with an active fault; a fault that was never healed lasts to the last line."""
    in_force: defaultdict[object, int] = defaultdict(int)
    since = until = 0.0
    for line in lines:
        until = line.t
        was = any(in_force.values())
        if line.do == "fault":
            in_force[line["component"]] += 1
        elif line.do == "healed":
            in_force[line["component"]] = 0
        if not was and any(in_force.values()):
            since = line.t
        elif was and not any(in_force.values()):
            yield since, line.t
    if any(in_force.values()):
        yield since, until


def select(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    cursor: Cursor = connection.cursor()
    try:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _utc(value: object) -> dt.datetime:
    """Return a time in UTC without a zone. SQLite returns text, unless its connection converts."""
    when = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    return when.astimezone(dt.UTC).replace(tzinfo=None) if when.tzinfo else when


def _utc_or_none(value: object) -> dt.datetime | None:
    return None if value is None else _utc(value)
