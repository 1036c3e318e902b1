"""T1: a job comes into being. A 2xx for it means that this transaction committed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, AgentName
from jobs.following import Backoff, Follower
from jobs.life.insert import place_jobs, slot_of
from jobs.models import Job, Queue
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.errors import AgentNotFound, AppError, IdempotencyMismatch, InvalidAgent, InvalidRequest, QueueNotFound
from kernel.idempotency import digest_of_key
from kernel.ids import is_id, new_id
from kernel.strictjson import JsonObject, JsonValue
from kernel.text import name_key

LONGEST_WAIT = dt.timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checked wish for a job. `agent` is an id, name or alias of an agent of the owner; or `queue` names a queue of
    theirs, which says where it runs.

    `params` travel to agents of protocol 2 beside the text. With `wait_until` or `ttl_seconds` it may wait for an
    agent that is offline; in a queue it always may. `then`: what follows its end (`jobs.life.chains`); `retries`
    and `backoff`: `jobs.life.retry`; `notify`: `jobs.watch.service`. `job_id` is made once, before the first
    try: the same submission tried again finds its own row.
    """

    owner_id: str
    agent: str = ""
    message: str
    actor: str
    source: str = ""
    callback: str = ""
    wait_until: dt.datetime | None = None
    ttl_seconds: int | None = None
    idempotency_key: str | None = None
    params: Mapping[str, JsonValue] | None = None
    queue: str = ""
    task: str = ""
    priority: int = 0
    distinct_key: str = ""
    rate_key: str = ""
    retries: int = 0
    backoff: Backoff | None = None
    idempotent: bool = False
    then: Sequence[Follower] | None = None
    notify: JsonObject | None = None
    job_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """The key as it is kept."""
        return digest_of_key(self.idempotency_key)

    @property
    def request_digest(self) -> str:
        """What must be equal for two requests with one key to count as the same request."""
        until = self.wait_until.isoformat() if self.wait_until else None
        said: list[object] = [self.agent, self.message, self.source, self.callback, until, self.ttl_seconds]
        # What has no parameters is digested as it always was: keys of a week ago still find their jobs.
        said += [dict(self.params)] if self.params else []
        special = [self.queue, self.task, self.priority, self.distinct_key, self.rate_key]
        special += [self.retries, self.backoff, self.idempotent, self.then, self.notify]
        said += special if any(special) else []
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def submit_jobs(submissions: Sequence[Submission], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """Insert a job for each submission; a repeated one is answered with the job it made before.

    Per item: AgentNotFound, QueueNotFound; InvalidAgent when the agent is disabled, or offline and the job may not
    wait; InvalidRequest for a wait that is over or too long; IdempotencyMismatch for a key used for another request;
    what `place_jobs` refuses.
    Raises IntegrityError when another transaction won a race for a key: the caller tries again and finds its row.
    """
    with transaction.atomic():
        now = now or database_now()
        places = _Places(agents=_find_agents(submissions), queues=_find_queues(submissions))
        known = _find_known(submissions)
        outcomes: list[Job | AppError] = []
        fresh: dict[str, Job] = {}
        for submission in submissions:
            key = (submission.owner_id, submission.idempotency_digest)
            before = known.get(submission.job_id) or (known.get(key) if key[1] else None)
            outcome = _repeated(submission, before) if before else _new_job(submission, places, now)
            if isinstance(outcome, Job) and not before:
                fresh[outcome.pk] = known[key if key[1] else outcome.pk] = outcome
            outcomes.append(outcome)
        actors = {submission.job_id: submission.actor for submission in submissions}
        placed = place_jobs(list(fresh.values()), now=now, actor_of=actors, are_new=True)
        refused = {pk: made for pk, made in zip(fresh, placed, strict=True) if isinstance(made, AppError)}
    return [refused.get(made.pk, made) if isinstance(made, Job) else made for made in outcomes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where the jobs of a batch may go, by owner and what the submission calls it."""

    agents: dict[tuple[str, str], Agent]
    queues: dict[tuple[str, str], Queue]


def _find_queues(submissions: Iterable[Submission]) -> dict[tuple[str, str], Queue]:
    wanted = {(s.owner_id, s.queue) for s in submissions if s.queue}
    if not wanted:
        return {}
    rows = Queue.objects.select_related("agent").filter(
        owner_id__in={owner for owner, _name in wanted}, name__in={name for _owner, name in wanted}
    )
    return {(queue.owner_id, queue.name): queue for queue in rows}


def _find_agents(submissions: Iterable[Submission]) -> dict[tuple[str, str], Agent]:
    """Return the agents meant, by (owner, what the submission calls it)."""
    wanted = {(s.owner_id, s.agent) for s in submissions if s.agent}
    if not wanted:
        return {}
    owners = {owner for owner, _called in wanted}
    by_key = {
        (name.owner_id, name.key): name.agent
        for name in AgentName.objects.select_related("agent").filter(
            owner_id__in=owners, key__in={name_key(called) for _owner, called in wanted}
        )
    }
    ids = {called for _owner, called in wanted if is_id(called)}
    by_id = (
        {(a.owner_id, a.pk): a for a in Agent.objects.present().filter(owner_id__in=owners, pk__in=ids)} if ids else {}
    )
    found = {}
    for owner, called in wanted:
        agent = by_id.get((owner, called)) or by_key.get((owner, name_key(called)))
        if agent:
            found[owner, called] = agent
    return found


def _find_known(submissions: Iterable[Submission]) -> dict[object, Job]:
    """Return jobs that exist already: by id (the same try again) and by (owner, key digest)."""
    known: dict[object, Job] = dict(Job.objects.in_bulk([s.job_id for s in submissions]))
    digests = {s.idempotency_digest for s in submissions if s.idempotency_key is not None}
    if digests:
        owners = {s.owner_id for s in submissions}
        for job in Job.objects.filter(owner_id__in=owners, idempotency_digest__in=digests):
            known[job.owner_id, job.idempotency_digest] = job
    return known


def _repeated(submission: Submission, job: Job) -> Job | AppError:
    return job if job.request_digest == submission.request_digest else IdempotencyMismatch()


def _new_job(submission: Submission, places: _Places, now: dt.datetime) -> Job | AppError:
    agent = places.agents.get((submission.owner_id, submission.agent))
    queue = places.queues.get((submission.owner_id, submission.queue))
    if submission.queue and queue is None:
        return QueueNotFound(params={"name": submission.queue})
    if not submission.queue and agent is None:
        return AgentNotFound(params={"name": submission.agent})
    expires_at = submission.wait_until
    if submission.ttl_seconds is not None:
        expires_at = now + dt.timedelta(seconds=submission.ttl_seconds)
    if expires_at is not None and not now < expires_at <= now + LONGEST_WAIT:
        return InvalidRequest(_("wait_until must lie in the future, at most 400 days ahead."))
    if queue is not None:
        agent = queue.agent
        if agent is not None and not (agent.enabled and agent.deleted_at is None):
            return InvalidAgent(params={"name": agent.name})
    elif agent is not None and (not agent.enabled or (not agent.online and expires_at is None)):
        return InvalidAgent(params={"name": agent.name})
    return Job(
        id=submission.job_id,
        owner_id=submission.owner_id,
        agent=agent,
        queue=queue,
        message=submission.message,
        task=submission.task,
        priority=submission.priority,
        distinct_slot=slot_of(submission.distinct_key) if submission.distinct_key else None,
        rate_key=submission.rate_key,
        retries=submission.retries,
        backoff=submission.backoff,
        idempotent=submission.idempotent,
        then=submission.then or None,
        notify=submission.notify,
        source=submission.source,
        callback=submission.callback,
        params=dict(submission.params) if submission.params else None,
        status=JobStatus.QUEUING,
        events_count=1,
        root_id=submission.job_id,
        idempotency_digest=submission.idempotency_digest,
        request_digest=submission.request_digest,
        created_at=now,
        active_at=now,
        expires_at=expires_at,
    )
