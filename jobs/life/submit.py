"""T1: a job comes into being. A 2xx for it means that this transaction committed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from jobs.life.insert import insert_jobs, new_job
from jobs.models import Job
from jobs.old_digests import old_submission_digest
from jobs.order import JobOrder
from jobs.targets import Target, find_targets, find_unknown_names
from kernel.clock import database_now
from kernel.errors import AppError, IdempotencyMismatch, InvalidAgent, InvalidRequest
from kernel.idempotency import digest_of_key
from kernel.ids import new_id

LONGEST_WAIT = dt.timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """An order for a job now. `job_id` is made once, before the first try: the same submission tried again finds its
    own row."""

    owner_id: str
    actor: str
    order: JobOrder
    idempotency_key: str | None = None
    job_id: str = field(default_factory=new_id)

    @property
    def idempotency_digest(self) -> str | None:
        """The key as it is stored."""
        return digest_of_key(self.idempotency_key)


def order_again(job: Job, *, now: dt.datetime) -> JobOrder:
    """Return the order that makes a job once more: its queue or else its agent, and the retries that it had at first.

    A time that has passed is dropped. Parameters are, too: a confirmation counts once. The queue must be loaded.
    """
    order = JobOrder.of(job)
    first = Job.objects.filter(pk=job.root_id).values_list("retries", flat=True).first()
    return replace(
        order,
        agent="" if job.queue else job.agent_id or "",
        queue=job.queue.name if job.queue else "",
        params={},
        retries=job.retries if first is None else first,
        wait_until=order.wait_until if order.wait_until is not None and order.wait_until > now else None,
    )


def submit_jobs(submissions: Sequence[Submission], *, now: dt.datetime | None = None) -> list[Job | AppError]:
    """Insert a job for each submission; a repeated one is answered with the job it made before.

    Per item: AgentNotFound, QueueNotFound; InvalidAgent when the agent is disabled, or offline and the job may not
    wait; InvalidRequest for a wait that is over or too long, and for an unknown name in `then` or `notify`;
    IdempotencyMismatch for a key used for another request;
    what `insert_jobs` refuses.
    Raises IntegrityError when another transaction won a race for a key: the caller tries again and finds its row.
    """
    with transaction.atomic():
        now = now or database_now()
        targets = find_targets([(submission.owner_id, submission.order) for submission in submissions])
        unknown = find_unknown_names([(submission.owner_id, submission.order) for submission in submissions])
        known = _find_known(submissions)
        outcomes: list[Job | AppError] = []
        fresh: dict[str, Job] = {}
        for number, submission in enumerate(submissions):
            key = (submission.owner_id, submission.idempotency_digest)
            before = known.get(submission.job_id) or (known.get(key) if key[1] else None)
            target = unknown.get(number) or targets[number]
            outcome = _repeated(submission, before) if before else _new(submission, target, now)
            if isinstance(outcome, Job) and not before:
                fresh[outcome.pk] = known[key if key[1] else outcome.pk] = outcome
            outcomes.append(outcome)
        actors = {submission.job_id: submission.actor for submission in submissions}
        inserted = insert_jobs(list(fresh.values()), now=now, actor_of=actors, are_new=True)
        refused = {pk: made for pk, made in zip(fresh, inserted, strict=True) if isinstance(made, AppError)}
    return [refused.get(made.pk, made) if isinstance(made, Job) else made for made in outcomes]


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
    order = submission.order
    same = job.request_digest == order.digest() or job.request_digest == old_submission_digest(order)
    return job if same else IdempotencyMismatch()


def _new(submission: Submission, target: Target | AppError, now: dt.datetime) -> Job | AppError:
    if isinstance(target, AppError):
        return target
    job = new_job(
        submission.order,
        job_id=submission.job_id,
        owner_id=submission.owner_id,
        agent_id=target.agent_id,
        queue_id=target.queue_id,
        now=now,
    )
    times = [("", job.expires_at), *((f"{place}.", order.wait_until) for place, order in submission.order.followers)]
    for place, time in times:
        if time is not None and not now < time <= now + LONGEST_WAIT:
            return InvalidRequest(
                _("%(field)s must lie in the future, at most 400 days ahead."), params={"field": f"{place}wait_until"}
            )
    if target.queue is None and target.agent is not None and not target.agent.online and job.expires_at is None:
        return InvalidAgent(params={"name": target.agent.name})
    job.idempotency_digest, job.request_digest = submission.idempotency_digest, submission.order.digest()
    return job
