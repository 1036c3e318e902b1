"""A job as its page tells it: its timeline in words, its output made safe to look at, the same call in curl."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils.translation import gettext as _

from jobs.life.read import WholeJob
from jobs.models import Job, JobEvent, JobOutput
from jobs.order import JobOrder
from jobs.states import JobStatus
from kernel.text import keep_head_and_tail
from kernel.visible import visible_text

_SHOWN_BYTES = 64 * 1024
_FIRST_EVENTS, _LAST_EVENTS = 20, 80
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the timeline. `gap` is the time since the line before (None on the first); `left_out` counts the
    lines in between that are not shown.
    """

    title: str
    status: JobStatus
    at: dt.datetime
    gap: dt.timedelta | None
    actor: str
    text: str
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOutput:
    """The part of an output that a page shows. `shortened`: the page has less than is kept; `truncated`: less is kept
    than came.
    """

    text: str
    exit_code: int | None
    signal: int | None
    reason: str
    size_bytes: int
    truncated: bool
    shortened: bool


def timeline(whole: WholeJob) -> list[Step]:
    """Return the lines of a job's timeline, oldest first, without the middle of a very long one."""
    events = list(whole.events)
    left_out = len(events) - _FIRST_EVENTS - _LAST_EVENTS
    kept = events if left_out <= 0 else events[:_FIRST_EVENTS] + events[-_LAST_EVENTS:]
    steps: list[Step] = []
    before: JobEvent | None = None
    for position, event in enumerate(kept):
        steps.append(
            Step(
                title=event.get_move_display(),
                status=JobStatus(event.after),
                at=event.at,
                gap=event.at - before.at if before else None,
                actor=_actor_name(event.actor, whole.job),
                text=visible_text(event.text),
                left_out=left_out if left_out > 0 and position == _FIRST_EVENTS else 0,
            )
        )
        before = event
    return steps


def shown_output(output: JobOutput | None) -> ShownOutput | None:
    """Return an output for the page, at most 64 KiB of it."""
    if output is None:
        return None
    kept = keep_head_and_tail(output.text, limit_bytes=_SHOWN_BYTES)
    return ShownOutput(
        text=visible_text(kept.text),
        exit_code=output.exit_code,
        signal=output.signal,
        reason=visible_text(output.reason),
        size_bytes=output.size_bytes,
        truncated=output.truncated,
        shortened=kept.truncated,
    )


def fits_form(order: JobOrder) -> bool:
    """Tell whether the form for a job has a field for everything that is ordered."""
    return order == JobOrder(
        agent=order.agent, message=order.message, source=order.source, ttl_seconds=order.ttl_seconds
    )


def shown_options(order: JobOrder) -> list[tuple[str, str]]:
    """Return the options that were given, beside agent, text and source, by their names in the API."""
    given = {name: value for name, value in order.body.items() if name not in ("agent", "message", "argv", "source")}
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in given.items()
    ]


def curl_command(job: Job, order: JobOrder) -> str:
    """Return the call that orders the same job, for a shell; hidden characters are written as escapes."""
    agent = job.agent.name if job.agent and not order.queue else ""
    body = json.dumps(replace(order, agent=agent, source="").body, ensure_ascii=False)
    body = "".join(
        json.dumps(character)[1:-1] if unicodedata.category(character) in _HIDDEN else character for character in body
    )
    return " \\\n  ".join(
        [
            f"curl -X POST {shlex.quote(settings.PUBLIC_URL + '/jobs')}",
            "-H 'Authorization: Bearer lsu_…'",
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(body)}",
        ]
    )


def ended_at(job: Job) -> dt.datetime | None:
    """Return when a job ended, None while it has not; a late result counts, not the expiry before it."""
    moments = (job.succeeded_at, job.failed_at, job.expired_at, job.canceled_at)
    return max((moment for moment in moments if moment), default=None) if job.is_terminal else None


def took(job: Job) -> dt.timedelta | None:
    """Return how long an ended job was with its agent; None if it never was, or still is."""
    end = ended_at(job)
    return end - job.sent_at if end and job.sent_at else None


def with_durations(jobs: Sequence[Job]) -> list[tuple[Job, dt.timedelta | None]]:
    """Return rows of a list: each job and how long it took."""
    return [(job, took(job)) for job in jobs]


def _actor_name(actor: str, job: Job) -> str:
    kind, _colon, subject = actor.partition(":")
    if kind == "user":
        return _("you") if subject == job.owner_id else _("staff")
    if kind == "agent":
        return job.agent.name if job.agent and subject == job.agent_id else _("agent")
    return _("staff") if kind == "staff" else "LetServer"
