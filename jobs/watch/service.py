"""The observer that evaluates the ends of jobs with a `notify` policy and queues their notices.

This is the only place that notifies the owner of such a job; callbacks are independent of it. The memory of earlier
ends is read and stored in the transaction of the end, under a row lock. So ends that race are evaluated one after the
other, each exactly once.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accounts.models import User
from agents.models import Agent
from jobs.life.retry import CANCELED_REASON, attempt_id
from jobs.models import DelayedJob, Job, Schedule, WatchMemory
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from jobs.watch.evaluate import Evaluation, Memory, Run, evaluate
from jobs.watch.policy import NotifyPolicy, read_policy
from jobs.watch.render import render_notice
from kernel.errors import AppError
from kernel.rows import ensure_row
from kernel.strictjson import JsonObject
from kernel.text import keep_head_and_tail
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage, language_of
from notifications.models import Way

logger = logging.getLogger(__name__)

NAMES_LIMIT = 1000
"""Limit of memories by job name for each owner. The memory that was updated longest ago is deleted first."""

_BY_NAME = "job:"
_BY_SCHEDULE = "schedule:"
_EVALUATED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """An end to evaluate. `subject` is empty if the job has no memory; `name` is its name in the notice."""

    moved: JobMove
    policy: NotifyPolicy
    subject: str
    name: str


def notify_of(schedule: Schedule) -> JsonObject | None:
    """Return the policy for the jobs of a schedule: its own, else `edges`, or none with a callback."""
    if schedule.notify is not None or schedule.callback:
        policy: JsonObject | None = schedule.notify
        return policy
    return {"when": "edges"}


def tell_of_changes(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer. Evaluate the ends of jobs with `notify` and queue at most one message for each.

    It runs after the observer that retries failed jobs, so only the end of the last attempt is evaluated. Canceled jobs
    are not evaluated. A late result is evaluated once; if it is a failure, the expiry already counted as that failure.
    """
    wanted = [one for one in moved if _is_evaluated(one) and one.job.notify is not None]
    ends = _ends(wanted) if wanted else []
    if not ends:
        return
    owners = User.objects.in_bulk({end.moved.job.owner_id for end in ends})
    agents = Agent.objects.in_bulk({end.moved.job.agent_id for end in ends if end.moved.job.agent_id})
    messages = []
    for end in sorted(ends, key=lambda one: (one.moved.job.owner_id, one.subject)):
        with language_of(owners[end.moved.job.owner_id]):
            message = _evaluated(end, agents.get(end.moved.job.agent_id or ""), now)
        messages += [message] if message is not None else []
    if messages:
        _send(messages, now)


def forget_schedule(schedule: Schedule) -> None:
    """Clear the memory of a schedule. Its next run is evaluated like a first run."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=_subject_of(schedule.pk)).update(content={})


def drop_memory(schedule: Schedule) -> None:
    """Delete the memory of a schedule that the caller's transaction deletes."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=_subject_of(schedule.pk)).delete()


def _is_evaluated(one: JobMove) -> bool:
    return one.after in _EVALUATED and not (one.output is not None and one.output.reason == CANCELED_REASON)


def _ends(moved: Sequence[JobMove]) -> list[_End]:
    """Return the ends of last attempts. Jobs of a schedule that was deleted are left out."""
    next_ones = {attempt_id(one.job) for one in moved if one.job.retries or one.move == Move.FINISH_LATE}
    followed = set(Job.objects.filter(pk__in=next_ones).values_list("pk", flat=True)) if next_ones else set()
    last = [one for one in moved if attempt_id(one.job) not in followed]
    parents = {one.job.parent_id for one in last if one.job.parent_id}
    schedules = Schedule.objects.in_bulk(parents)
    others = _of_delayed_and_chains(parents - schedules.keys())
    return [
        _end(one, schedules.get(one.job.parent_id or ""))
        for one in last
        if one.job.parent_id is None or one.job.parent_id in schedules or one.job.parent_id in others
    ]


def _of_delayed_and_chains(parents: set[str]) -> set[str]:
    """Return those that are delayed jobs or jobs with a `then`: what they made is evaluated like any single job."""
    found: set[str] = set()
    for rows in (DelayedJob.objects.all(), Job.objects.all()) if parents else ():
        found.update(rows.filter(pk__in=parents).values_list("pk", flat=True))
    return found


def _end(one: JobMove, schedule: Schedule | None) -> _End:
    job = one.job
    if schedule is not None:
        return _End(moved=one, policy=_policy(job), subject=_subject_of(schedule.pk), name=schedule.name)
    name = str(_notify(job).get("name", ""))
    return _End(moved=one, policy=_policy(job), subject=_BY_NAME + name if name else "", name=name or job.message)


def _subject_of(schedule_id: str) -> str:
    return _BY_SCHEDULE + schedule_id


def _notify(job: Job) -> JsonObject:
    """Return the stored policy of a job that has one."""
    return job.notify or {}


def _policy(job: Job) -> NotifyPolicy:
    """Return the job's policy. A stored policy that is no longer valid counts as the default, so the end is kept."""
    try:
        return read_policy({field: value for field, value in _notify(job).items() if field != "name"})
    except AppError:
        logger.warning("policy not understood", extra={"action": "watch.policy", "job": job.pk})
        return NotifyPolicy()


def _evaluated(end: _End, agent: Agent | None, now: dt.datetime) -> NewMessage | None:
    """Evaluate an end, store the new memory, and return the message to send, if any."""
    job, row = end.moved.job, None
    if end.subject:
        row = _locked(job.owner_id, end.subject, now)
    evaluation = _evaluation(end, row, now)
    if row is not None:
        row.content, row.updated_at = evaluation.memory.to_json(), now
        row.save(update_fields=["content", "updated_at"])
    if evaluation.notice is None:
        return None
    title, text = render_notice(end.policy, evaluation.notice, end.name)
    return NewMessage(
        owner_id=job.owner_id,
        title=title,
        text=text,
        level=evaluation.notice.level,
        mentions=end.policy.mention,
        channels=end.policy.channels,
        source=agent.name if agent else "",
        agent_id=job.agent_id or "",
        way=Way.AUTO,
        idempotency_key=f"job:{job.pk}:{job.events_count}",
    )


def _evaluation(end: _End, row: WatchMemory | None, now: dt.datetime) -> Evaluation:
    """Evaluate an end. With an unreadable memory it counts as the first run."""
    run = _run(end.moved, now)
    if row is None or not row.content:
        return evaluate(end.policy, None, run)
    try:
        return evaluate(end.policy, Memory.from_json(row.content), run)
    except (ValueError, ArithmeticError) as error:
        # The content is not logged: it is output of the owner's programs.
        logger.warning(
            "memory not understood",
            extra={"action": "watch.memory", "memory": row.pk, "job": end.moved.job.pk, "error": type(error).__name__},
        )
        return evaluate(end.policy, None, run)


def _run(one: JobMove, now: dt.datetime) -> Run:
    output = one.output
    return Run(
        succeeded=one.after == JobStatus.SUCCEEDED,
        exit_code=output.exit_code if output else None,
        # The stored length of an output, not the short form for lists.
        text=keep_head_and_tail(output.text).text if output else "",
        at=now,
        expired=one.after == JobStatus.EXPIRED,
        late=one.move == Move.FINISH_LATE,
    )


def _locked(owner_id: str, subject: str, now: dt.datetime) -> WatchMemory | None:
    """Return the locked row of a subject, created if needed. None if another transaction deletes it right now."""
    rows = WatchMemory.objects.select_for_update().filter(owner_id=owner_id, subject=subject)
    known = rows.first()
    if known is not None:
        return known
    if subject.startswith(_BY_NAME):
        _make_room(owner_id)
    fresh = WatchMemory(owner_id=owner_id, subject=subject, content={}, updated_at=now)
    ensure_row(fresh, "owner_id", "subject")
    return rows.first()


def _make_room(owner_id: str) -> None:
    named = WatchMemory.objects.filter(owner_id=owner_id, subject__startswith=_BY_NAME)
    surplus = list(named.order_by("-updated_at", "-pk").values_list("pk", flat=True)[NAMES_LIMIT - 1 :])
    if surplus:
        WatchMemory.objects.filter(pk__in=surplus).delete()


def _send(messages: Sequence[NewMessage], now: dt.datetime) -> None:
    """Store the messages. A message for a channel that was removed goes to the owner's default channel."""
    refused = [
        message
        for message, outcome in zip(messages, accept_messages(messages, now=now), strict=True)
        if isinstance(outcome, AppError)
    ]
    if refused:
        for message in refused:
            logger.warning("channel not found", extra={"action": "watch.channel", "owner": message.owner_id})
        accept_messages([replace(message, channels=()) for message in refused], now=now)
