"""What the end of a job means to whoever asked to be told only when something changed.

A job with `notify` is told of here and nowhere else (a callback is called all the same): its end is judged against what
is remembered of the ends before it (`jobs.watch`), and what is remembered is kept in the transaction of the end,
under a lock: of ends that race, each is judged once, one after the other.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils import translation

from accounts.models import User
from agents.models import Agent
from jobs.life.retry import CANCELED_REASON, attempt_id
from jobs.models import Job, Schedule, WatchMemory
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from jobs.watch.judge import Memory, Run, Verdict, judge
from jobs.watch.policy import NotifyPolicy, read_policy
from jobs.watch.render import render_notice
from kernel.errors import AppError
from kernel.rows import ensure_row
from kernel.strictjson import JsonObject
from kernel.text import keep_head_and_tail
from notifications.messages.accept import NewMessage, accept_messages
from notifications.models import Way

logger = logging.getLogger(__name__)

NAMES_LIMIT = 1000
"""Of so many names of jobs it is remembered, for each owner, how they ended; the one that ended longest ago goes."""

_BY_NAME = "job:"
_BY_SCHEDULE = "schedule:"
_JUDGED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """An end that is judged. `subject`: empty where nothing is remembered. `name`: what it is called in a notice."""

    moved: JobMove
    policy: NotifyPolicy
    subject: str
    name: str


def notify_of(schedule: Schedule) -> JsonObject | None:
    """Return the policy for the jobs of a schedule: its own, or the edges, unless a callback hears of them anyway."""
    if schedule.notify is not None or schedule.callback:
        policy: JsonObject | None = schedule.notify
        return policy
    return {"when": "edges"}


def tell_of_changes(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer: judge the ends of jobs with `notify` and write at most one message for each.

    It comes after the observer that tries again what has failed: only the end of the last attempt is judged. What was
    canceled is not. A late result is, once; its expiry was the failure if it is one.
    """
    wanted = [one for one in moved if _is_judged(one) and one.job.notify is not None]
    ends = _ends(wanted) if wanted else []
    if not ends:
        return
    owners = User.objects.in_bulk({end.moved.job.owner_id for end in ends})
    agents = Agent.objects.in_bulk({end.moved.job.agent_id for end in ends if end.moved.job.agent_id})
    wishes = []
    for end in sorted(ends, key=lambda one: (one.moved.job.owner_id, one.subject)):
        with translation.override(owners[end.moved.job.owner_id].language or settings.LANGUAGE_CODE):
            wish = _judged(end, agents.get(end.moved.job.agent_id or ""), now)
        wishes += [wish] if wish is not None else []
    if wishes:
        _send(wishes, now)


def forget_schedule(schedule: Schedule) -> None:
    """Forget what is remembered of a schedule's runs: the next one is judged as if it were the first."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=_subject_of(schedule.pk)).update(content={})


def drop_memory(schedule: Schedule) -> None:
    """Remove what is remembered of a schedule that is deleted in the caller's transaction."""
    WatchMemory.objects.filter(owner_id=schedule.owner_id, subject=_subject_of(schedule.pk)).delete()


def _is_judged(one: JobMove) -> bool:
    return one.after in _JUDGED and not (one.output is not None and one.output.reason == CANCELED_REASON)


def _ends(moved: Sequence[JobMove]) -> list[_End]:
    """Return those that are the end of the last attempt, of a schedule that is still there or of no schedule."""
    next_ones = {attempt_id(one.job) for one in moved if one.job.retries or one.move == Move.FINISH_LATE}
    followed = set(Job.objects.filter(pk__in=next_ones).values_list("pk", flat=True)) if next_ones else set()
    last = [one for one in moved if attempt_id(one.job) not in followed]
    schedules = Schedule.objects.in_bulk({one.job.parent_id for one in last if one.job.parent_id})
    return [end for one in last if (end := _end(one, schedules)) is not None]


def _end(one: JobMove, schedules: dict[str, Schedule]) -> _End | None:
    job = one.job
    if job.parent_id is not None:
        schedule = schedules.get(job.parent_id)
        if schedule is None:
            return None
        return _End(moved=one, policy=_policy(job), subject=_subject_of(schedule.pk), name=schedule.name)
    name = str(_notify(job).get("name", ""))
    return _End(moved=one, policy=_policy(job), subject=_BY_NAME + name if name else "", name=name or job.message)


def _subject_of(schedule_id: str) -> str:
    return _BY_SCHEDULE + schedule_id


def _notify(job: Job) -> JsonObject:
    """Return what the job brought; that it did is known."""
    return job.notify or {}


def _policy(job: Job) -> NotifyPolicy:
    """Return the policy that was checked when the job came. An end is not lost over one that does not hold any more."""
    try:
        return read_policy({field: value for field, value in _notify(job).items() if field != "name"})
    except AppError:
        logger.warning("policy not understood", extra={"action": "watch.policy", "job": job.pk})
        return NotifyPolicy()


def _judged(end: _End, agent: Agent | None, now: dt.datetime) -> NewMessage | None:
    """Judge an end and keep what is remembered of it; return what is told of it."""
    job, row = end.moved.job, None
    if end.subject:
        row = _locked(job.owner_id, end.subject, now)
    verdict = _verdict(end, row, now)
    if row is not None:
        row.content, row.updated_at = verdict.memory.to_json(), now
        row.save(update_fields=["content", "updated_at"])
    if verdict.notice is None:
        return None
    title, text = render_notice(end.policy, verdict.notice, end.name)
    return NewMessage(
        owner_id=job.owner_id,
        title=title,
        text=text,
        level=verdict.notice.level,
        mentions=end.policy.mention,
        channels=end.policy.channels,
        source=agent.name if agent else "",
        agent_id=job.agent_id or "",
        way=Way.AUTO,
        idempotency_key=f"job:{job.pk}:{job.events_count}",
    )


def _verdict(end: _End, row: WatchMemory | None, now: dt.datetime) -> Verdict:
    """Judge an end; over a memory that cannot be read it is the first one."""
    run = _run(end.moved, now)
    if row is None or not row.content:
        return judge(end.policy, None, run)
    try:
        return judge(end.policy, Memory.from_json(row.content), run)
    except (ValueError, ArithmeticError) as error:
        # Never what it held: that is what somebody's programs have put out.
        logger.warning(
            "memory not understood",
            extra={"action": "watch.memory", "memory": row.pk, "job": end.moved.job.pk, "error": type(error).__name__},
        )
        return judge(end.policy, None, run)


def _run(one: JobMove, now: dt.datetime) -> Run:
    output = one.output
    return Run(
        succeeded=one.after == JobStatus.SUCCEEDED,
        exit_code=output.exit_code if output else None,
        # As much as is kept of an output, not only what is shown of it in lists.
        text=keep_head_and_tail(output.text).text if output else "",
        at=now,
        expired=one.after == JobStatus.EXPIRED,
        late=one.move == Move.FINISH_LATE,
    )


def _locked(owner_id: str, subject: str, now: dt.datetime) -> WatchMemory | None:
    """Return the row of a subject, made where there is none; locked. None: it is being deleted this very moment."""
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


def _send(wishes: Sequence[NewMessage], now: dt.datetime) -> None:
    """Write the messages. One for a channel that is gone goes to the owner's first one: better there than nowhere."""
    refused = [
        wish
        for wish, outcome in zip(wishes, accept_messages(wishes, now=now), strict=True)
        if isinstance(outcome, AppError)
    ]
    if refused:
        for wish in refused:
            logger.warning("channel not found", extra={"action": "watch.channel", "owner": wish.owner_id})
        accept_messages([replace(wish, channels=()) for wish in refused], now=now)
