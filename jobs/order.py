"""Everything that may be wanted of a job, as one value for every way to order it.

`POST /jobs`, queues, delayed jobs, schedules, `then`, the chat and coyotes read into a `JobOrder`. It is stored in the
columns of `jobs.models.options.JobOptions`, and `jobs.life.insert.new_job` makes a job of it. The description of its
JSON, which reads bodies and draws the schema, is `jobs.api.order.OrderSerializer`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from kernel.clock import rfc3339
from kernel.errors import InvalidMessage, InvalidRequest
from kernel.strictjson import JsonObject, JsonValue

if TYPE_CHECKING:
    from jobs.models.options import JobOptions

RETRIES_LIMIT = 10
FOLLOWERS_LIMIT = 5
DEPTH_LIMIT = 10
PRIORITY_LIMIT = 1000
TTL_LIMIT_SECONDS = 400 * 86_400
OF_QUEUES = ("priority", "distinct_key", "rate_key")
"""Options that mean something only within a queue."""


class Formula(TypedDict):
    """Pauses in seconds: `base`, then each `factor` times the one before, at most `limit`."""

    base: float
    factor: float
    limit: float


Backoff: TypeAlias = "list[float] | Formula"
"""Seconds before each further attempt, the last repeats; or a formula."""


_ATTRIBUTES = {"retry": "retries", "ttl": "ttl_seconds"}
"""Names in JSON that differ from those of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """Everything wanted of a job. `agent` is an id, a name or an alias; or `queue` is the name of a queue, which says
    where its jobs run.

    `message` is the text; of a job that was sent as words, `argv` has them and `message` is what a shell would split
    into them. `params` travel beside the words: `confirmed`, the client's `task_id`. `retries` counts attempts after
    the first. At most one of `ttl_seconds` (from when the job is due) and `wait_until` is set: with either, the job may
    wait for an agent that is offline, and expires then.
    """

    agent: str = ""
    queue: str = ""
    message: str = ""
    argv: tuple[str, ...] | None = None
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    task: str = ""
    source: str = ""
    callback: str = ""
    priority: int = 0
    distinct_key: str = ""
    rate_key: str = ""
    retries: int = 0
    backoff: Backoff | None = None
    idempotent: bool = False
    then: tuple[Follower, ...] = ()
    notify: JsonObject | None = None
    ttl_seconds: int | None = None
    wait_until: dt.datetime | None = None

    @classmethod
    def of(cls, row: JobOptions) -> JobOrder:
        """Return what a row holds. Agent and queue stay with the row: they are ids there, and may be gone."""
        params = dict(row.params or {})
        argv = params.pop("argv", None)
        return cls(
            message=row.message,
            argv=None if argv is None else tuple(argv),
            params=params,
            task=row.task,
            source=row.source,
            callback=row.callback,
            priority=row.priority,
            distinct_key=row.distinct_key,
            rate_key=row.rate_key,
            retries=row.retries,
            backoff=row.backoff,
            idempotent=row.idempotent,
            then=_read_then(row.then),
            notify=row.notify,
            ttl_seconds=row.ttl_seconds,
            wait_until=row.expires_at if row.ttl_seconds is None else None,
        )

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of `JobOptions` but agent and queue."""
        return {
            "message": self.message,
            "params": self.stored_params,
            "task": self.task,
            "source": self.source,
            "callback": self.callback,
            "priority": self.priority,
            "distinct_key": self.distinct_key,
            "rate_key": self.rate_key,
            "retries": self.retries,
            "backoff": cast("JsonValue", self.backoff),
            "idempotent": self.idempotent,
            "then": cast("JsonValue", _then_json(self.then)),
            "notify": self.notify,
            "ttl_seconds": self.ttl_seconds,
            "expires_at": self.wait_until,
        }

    @property
    def stored_params(self) -> dict[str, JsonValue] | None:
        """The value of the column `params`: the words and the parameters beside them."""
        words: dict[str, JsonValue] = {} if self.argv is None else {"argv": list(self.argv)}
        return {**words, **self.params} or None

    @property
    def options(self) -> JsonObject:
        """All options, as the answers about jobs, delayed jobs and schedules show them."""
        return {
            "message": self.message,
            "argv": None if self.argv is None else list(self.argv),
            "task": self.task,
            "source": self.source,
            "callback": self.callback,
            "priority": self.priority,
            "distinct_key": self.distinct_key,
            "rate_key": self.rate_key,
            "retry": self.retries,
            "backoff": cast("JsonValue", self.backoff),
            "idempotent": self.idempotent,
            "then": cast("JsonValue", _then_json(self.then)),
            "notify": self.notify,
            "ttl": self.ttl_seconds,
            "wait_until": rfc3339(self.wait_until),
        }

    @property
    def body(self) -> JsonObject:
        """The body that orders this: only what is given. `then` is stored so."""
        said: JsonObject = {"agent": self.agent, "queue": self.queue, **self.options}
        if self.argv is not None:
            del said["message"]
        return {name: value for name, value in said.items() if value}

    @classmethod
    def from_body(cls, body: Mapping[str, JsonValue]) -> JobOrder:
        """Read what `body` has written. Nothing is checked: limits may have changed since it was stored."""
        given: dict[str, Any] = {_ATTRIBUTES.get(name, name): value for name, value in body.items()}
        given = {name: value for name, value in given.items() if name in _NAMES}
        if (argv := given.get("argv")) is not None:
            given |= {"argv": tuple(argv), "message": shlex.join(argv)}
        if (until := given.get("wait_until")) is not None:
            given["wait_until"] = parse_datetime(until)
        return cls(**given | {"then": _read_then(given.get("then"))})

    def digest(self, *more: object) -> str:
        """Return the digest that two requests with one idempotency key must share to count as the same request.

        `more`: what the request says besides the order, as JSON values.
        """
        said = [self.body, dict(self.params), *more]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def followers(self) -> Iterator[tuple[str, JobOrder]]:
        """Every order in `then`, at any depth, with its place, such as `then[0].then[1]`."""
        for number, one in enumerate(self.then):
            yield f"then[{number}]", one.order
            for place, order in one.order.followers:
                yield f"then[{number}].{place}", order

    @property
    def depth(self) -> int:
        """How many ends must come before the last of `then` can start."""
        return 1 + max(follower.order.depth for follower in self.then) if self.then else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A job that starts when another has succeeded, or has failed with no attempt left."""

    on: Literal["success", "failure"]
    order: JobOrder


_NAMES = frozenset(one.name for one in fields(JobOrder))


@dataclass(frozen=True, slots=True)
class OrderChange:
    """Some options, by their names in `JobOrder`: what a body says, before it is laid onto an order."""

    given: Mapping[str, Any] = field(default_factory=dict)

    def onto(self, order: JobOrder) -> JobOrder:
        """Return the order with these options. An agent replaces a queue, a ttl replaces a time, and vice versa."""
        changed = dict(self.given)
        for one, other, nothing in (("agent", "queue", ""), ("ttl_seconds", "wait_until", None)):
            for name, rival in ((one, other), (other, one)):
                if changed.get(name):
                    changed.setdefault(rival, nothing)
        return replace(order, **changed)


def check_options(order: JobOrder, *, in_queue: bool) -> None:
    """Refuse options that do not fit together or, without a queue, mean nothing. Raises InvalidRequest,
    InvalidMessage."""
    if not order.message.strip():
        raise InvalidMessage(_("message must be text that is not empty."))
    if not in_queue and (of_queues := [name for name in OF_QUEUES if getattr(order, name)]):
        raise InvalidRequest(
            _("%(field)s belongs to a queue. Send queue in place of agent."), params={"field": of_queues[0]}
        )
    if order.ttl_seconds is not None and order.wait_until is not None:
        raise InvalidRequest(_("Send wait_until or ttl, not both."))
    if order.depth > DEPTH_LIMIT:
        raise InvalidRequest(_("then goes more than %(limit)s levels deep."), params={"limit": DEPTH_LIMIT})


def check_order(order: JobOrder) -> None:
    """Refuse an order that is not for exactly one agent or queue, and what `check_options` refuses."""
    if order.agent and order.queue:
        raise InvalidRequest(_("Send agent or queue, not both: a queue says where its jobs run."))
    if not order.agent and not order.queue:
        raise InvalidRequest(_("Send agent or queue: where the job runs."))
    check_options(order, in_queue=bool(order.queue))


def _then_json(then: Sequence[Follower]) -> list[JsonObject] | None:
    return [{"on": one.on, **one.order.body} for one in then] or None


def _read_then(stored: Any) -> tuple[Follower, ...]:
    """Read a stored `then`; followers stored before they could have options hold on, agent, message and then."""
    return tuple(Follower(on=one["on"], order=JobOrder.from_body(one)) for one in stored or ())
