"""Evaluates the ends of jobs with a `notify` policy and queues their notices.

This is the only place that notifies the owner of such a job; callbacks are independent of it. The transaction of an
end only stores that it is due (`due.py`): the cost of a comparison is the owner's to choose, so it must not keep the
writer or a lock. A worker evaluates the ends of one owner at a time, in their order, and stores the memory, the
message and that the end is done in one transaction. A crash before it evaluates the ends again, and nothing is sent
twice.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from agents.models import Agent
from jobs.models import DueEvaluation, Job, JobOutput, Schedule, WatchMemory
from jobs.states import JobStatus
from jobs.watch.due import BY_NAME, BY_SCHEDULE, claim_ends, release_ends, subject_of
from jobs.watch.evaluate import Evaluation, Memory, Notice, Run, evaluate
from jobs.watch.policy import NotifyPolicy, read_policy
from jobs.watch.render import render_notice
from kernel.clock import database_now
from kernel.errors import AppError
from kernel.rows import ensure_row
from kernel.strictjson import JsonObject
from kernel.text import keep_head_and_tail
from kernel.transactions import named_transaction, retry_transaction
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage, language_of
from notifications.messages.notify import notify_owner
from notifications.models import Way

logger = logging.getLogger(__name__)

NAMES_LIMIT = 1000
"""Limit of memories by job name for each owner. The memory that was updated longest ago is deleted first."""

ATTEMPTS_LIMIT = 3

_FAILED = _(
    "The result of %(name)s could not be compared, so nothing was sent about it. The job has ended, and its output is "
    "stored: job %(job)s. Look at the `notify` of the job."
)
_TOLD_AGAIN_AFTER = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """A claimed end with what its evaluation reads. `name` is its name in the notice."""

    due: DueEvaluation
    job: Job
    policy: NotifyPolicy
    name: str
    text: str
    exit_code: int | None


def notify_of(schedule: Schedule) -> JsonObject | None:
    """Return the policy for the jobs of a schedule: its own, else `edges`, or none with a callback."""
    if schedule.notify is not None or schedule.callback:
        policy: JsonObject | None = schedule.notify
        return policy
    return {"when": "edges"}


def evaluate_ends(*, until: float = math.inf, now: dt.datetime | None = None) -> int:
    """Claim ends of one owner, evaluate them, and queue at most one message for each; return how many were claimed.

    At `until` (monotonic seconds) the rest is given back. An end whose evaluation was cut off ATTEMPTS_LIMIT times is
    given up.
    """
    claimed = claim_ends(now=now or database_now())
    ends = _read(claimed)
    for at, end in enumerate(ends):
        if at and time.monotonic() >= until:
            release_ends([one.due for one in ends[at:]])
            break
        if end.due.attempts > ATTEMPTS_LIMIT:
            _give_up(end)
        else:
            _evaluate_one(end)
    return len(claimed)


def forget_schedule(schedule: Schedule) -> None:
    """Clear the memory of a schedule. Its next run is evaluated like a first run."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=subject_of(schedule.pk)).update(content={})


def drop_memory(schedule: Schedule) -> None:
    """Delete the memory of a schedule that the caller's transaction deletes."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=subject_of(schedule.pk)).delete()


def _read(claimed: Sequence[DueEvaluation]) -> list[_End]:
    """Return the ends that are still to be evaluated; delete those whose schedule was deleted meanwhile."""
    jobs = Job.objects.in_bulk({due.job_id for due in claimed})
    outputs = JobOutput.objects.in_bulk(jobs)
    schedules = Schedule.objects.in_bulk({job.parent_id for job in jobs.values() if job.parent_id})
    ends = []
    for due in claimed:
        job = jobs[due.job_id]
        schedule = schedules.get(job.parent_id or "")
        if due.subject.startswith(BY_SCHEDULE) and schedule is None:
            DueEvaluation.objects.filter(pk=due.pk).delete()
            continue
        # An expiry has no output of its own; a late result may have one by now.
        output = None if due.after == JobStatus.EXPIRED else outputs.get(job.pk)
        ends.append(
            _End(
                due=due,
                job=job,
                policy=_policy(job),
                name=schedule.name if schedule else str((job.notify or {}).get("name", "")) or job.message,
                # The stored length of an output, not the short form for lists.
                text=keep_head_and_tail(output.text).text if output else "",
                exit_code=output.exit_code if output else None,
            )
        )
    return ends


def _policy(job: Job) -> NotifyPolicy:
    """Return the job's policy. A stored policy that is no longer valid counts as the default, so the end is kept."""
    try:
        return read_policy({field: value for field, value in (job.notify or {}).items() if field != "name"})
    except AppError:
        logger.warning("policy not understood", extra={"action": "watch.policy", "job": job.pk})
        return NotifyPolicy()


def _evaluate_one(end: _End) -> None:
    """Evaluate outside of any transaction, then store, unless the memory has changed: then evaluate again."""
    while True:
        before = _content(end.due)
        try:
            evaluation = _evaluation(end, before)
            message = _message(end, evaluation.notice) if evaluation.notice is not None else None
        except Exception as error:
            # The message of the error is not logged: it may hold output of the owner's programs.
            logger.error(
                "end not evaluated",
                extra={"action": "watch.fault", "job": end.job.pk, "error": type(error).__name__},
            )
            _give_up(end)
            return
        if retry_transaction(partial(_store, end, before, evaluation.memory, message)):
            return


def _content(due: DueEvaluation) -> JsonObject:
    rows = WatchMemory.objects.filter(owner_id=due.owner_id, subject=due.subject)
    return (rows.values_list("content", flat=True).first() or {}) if due.subject else {}


def _evaluation(end: _End, content: JsonObject) -> Evaluation:
    """Evaluate an end. With an unreadable memory it counts as the first run."""
    run = Run(
        succeeded=end.due.after == JobStatus.SUCCEEDED,
        exit_code=end.exit_code,
        text=end.text,
        at=end.due.ended_at,
        expired=end.due.after == JobStatus.EXPIRED,
        late=end.due.late,
    )
    if not content:
        return evaluate(end.policy, None, run)
    try:
        return evaluate(end.policy, Memory.from_json(content), run)
    except (ValueError, ArithmeticError) as error:
        logger.warning(
            "memory not understood",
            extra={"action": "watch.memory", "job": end.job.pk, "error": type(error).__name__},
        )
        return evaluate(end.policy, None, run)


def _message(end: _End, notice: Notice) -> NewMessage:
    with language_of(User.objects.get(pk=end.due.owner_id)):
        title, text = render_notice(end.policy, notice, end.name)
    agent = Agent.objects.filter(pk=end.job.agent_id).first() if end.job.agent_id else None
    return NewMessage(
        owner_id=end.due.owner_id,
        title=title,
        text=text,
        level=notice.level,
        mentions=end.policy.mention,
        channels=end.policy.channels,
        source=agent.name if agent else "",
        agent_id=end.job.agent_id or "",
        way=Way.AUTO,
        idempotency_key=f"job:{end.job.pk}:{end.due.number}",
    )


def _store(end: _End, before: JsonObject, memory: Memory, message: NewMessage | None) -> bool:
    """Store the memory and the message and delete the due row; return False if the memory is not `before` any longer.

    Locks the due row first, the memory second. A row that is gone, or that a later claim holds, is left alone.
    """
    due = end.due
    with named_transaction("watch.store"):
        now = database_now()
        if not DueEvaluation.objects.select_for_update().filter(pk=due.pk, attempts=due.attempts).exists():
            return True
        row = _locked(due.owner_id, due.subject, now) if due.subject else None
        if row is not None:
            if row.content != before:
                return False
            row.content, row.updated_at = memory.to_json(), now
            row.save(update_fields=["content", "updated_at"])
        if message is not None:
            _send(message, now)
        DueEvaluation.objects.filter(pk=due.pk).delete()
    return True


def _give_up(end: _End) -> None:
    """Mark the end as not evaluated, and inform the owner unless another end of the subject failed within a day."""
    due = end.due
    with transaction.atomic():
        now = database_now()
        others = DueEvaluation.objects.filter(
            owner_id=due.owner_id, subject=due.subject, failed_at__gt=now - _TOLD_AGAIN_AFTER
        )
        is_first = not others.exists()
        if DueEvaluation.objects.filter(pk=due.pk, attempts=due.attempts, failed_at=None).update(failed_at=now):
            logger.error("end given up", extra={"action": "watch.give_up", "job": due.job_id})
            if is_first:
                owner = User.objects.get(pk=due.owner_id)
                notify_owner(owner, _FAILED, {"name": end.name, "job": due.job_id}, now=now)


def _locked(owner_id: str, subject: str, now: dt.datetime) -> WatchMemory | None:
    """Return the locked row of a subject, created if needed. None if another transaction deletes it right now."""
    rows = WatchMemory.objects.select_for_update().filter(owner_id=owner_id, subject=subject)
    known = rows.first()
    if known is not None:
        return known
    if subject.startswith(BY_NAME):
        _make_room(owner_id)
    fresh = WatchMemory(owner_id=owner_id, subject=subject, content={}, updated_at=now)
    ensure_row(fresh, "owner_id", "subject")
    return rows.first()


def _make_room(owner_id: str) -> None:
    named = WatchMemory.objects.filter(owner_id=owner_id, subject__startswith=BY_NAME)
    surplus = list(named.order_by("-updated_at", "-pk").values_list("pk", flat=True)[NAMES_LIMIT - 1 :])
    if surplus:
        WatchMemory.objects.filter(pk__in=surplus).delete()


def _send(message: NewMessage, now: dt.datetime) -> None:
    """Store the message. If its channel was removed, it goes to the owner's default channel."""
    (outcome,) = accept_messages([message], now=now)
    if isinstance(outcome, AppError):
        logger.warning("channel not found", extra={"action": "watch.channel", "owner": message.owner_id})
        accept_messages([replace(message, channels=())], now=now)
