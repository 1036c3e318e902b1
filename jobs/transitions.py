"""The one place where a job moves.

`move_jobs` checks the table of `jobs.states`, swaps the status only where it still is what the caller saw, writes an
event and, at an end, the output, tells the observers, and rings after COMMIT. Callers lock the rows first with
`lock_jobs`, so that a lost race is rare; where it happens the whole batch is undone and tried again item by item.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.db import models

from jobs.models import Job, JobEvent, JobOutput
from jobs.observers import tell_observers
from jobs.states import TERMINAL, JobStatus, Move, allowed
from kernel.bells import ring
from kernel.text import RESULT_CHARACTERS, keep_head_and_tail
from kernel.transactions import LostRace


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a job put out at its end. `size_bytes` None: as long as `text`, which then was never cut."""

    text: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    truncated: bool = False
    size_bytes: int | None = None
    log_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMove:
    """One move: the job, where it goes, who does it and what they say. `move_jobs` fills in `before` and `slot`, the
    distinct slot that the job held until then.

    `lease` is how long the agent may be silent from now on, needed by claims and reports of progress; `protocol` is
    how the agent that claims speaks. `agent_id` is set where the job changes hands: empty for nobody's.
    """

    job: Job
    move: Move
    after: JobStatus
    before: JobStatus | None = None
    actor: str
    text: str = ""
    request_id: str | None = None
    output: Output | None = None
    lease: dt.timedelta | None = None
    protocol: int | None = None
    agent_id: str | None = None
    slot: str | None = None


_Kind: TypeAlias = tuple[Move, JobStatus, JobStatus, dt.timedelta, int, bool, str]
_NO_LEASE = dt.timedelta(0)
_MOMENT = {
    JobStatus.SENT: "sent_at",
    JobStatus.RUNNING: "running_at",
    JobStatus.SUCCEEDED: "succeeded_at",
    JobStatus.FAILED: "failed_at",
    JobStatus.EXPIRED: "expired_at",
    JobStatus.CANCELED: "canceled_at",
}
"""The column that remembers when a job last entered a status."""


def lock_jobs(ids: Collection[str]) -> dict[str, Job]:
    """Lock jobs in the order of their ids (no two transactions cross) and return them by id."""
    rows = Job.objects.select_for_update().filter(pk__in=sorted(ids)).order_by("pk")
    return {job.pk: job for job in rows}


def move_jobs(moves: Sequence[JobMove], *, now: dt.datetime) -> None:
    """Make all these moves in the caller's transaction, or raise LostRace.

    1. Every move must stand in the table (a KeyError-like bug otherwise: ValueError). 2. One conditional UPDATE for
    each set that shares old status, move, new status, lease, protocol and agent. 3. Outputs and events are inserted. 4.
    Observers run. 5. Bells ring after COMMIT: the job's for whoever waits for it, the agent's where work appeared.

    A job object may stand in one move only; it is changed to what the row now holds.
    """
    sets: defaultdict[_Kind, list[JobMove]] = defaultdict(list)
    made = [replace(moved, before=JobStatus(moved.job.status), slot=moved.job.distinct_slot) for moved in moves]
    for moved in made:
        if moved.before is None or not allowed(moved.move, moved.before, moved.after):
            raise ValueError(f"{moved.move} does not lead from {moved.before} to {moved.after}")
        hands = (moved.agent_id is not None, moved.agent_id or "")
        sets[moved.move, moved.before, moved.after, moved.lease or _NO_LEASE, moved.protocol or 0, *hands].append(moved)
    for (move, before, after, lease, protocol, changes_hands, agent_id), members in sorted(sets.items()):
        values = _new_values(move, after, now, lease) | ({"protocol": protocol} if protocol else {})
        _swap(members, values | ({"agent_id": agent_id or None} if changes_hands else {}), before)
    _insert_outputs(made, now)
    _insert_events(made, now)
    tell_observers(made, now)
    for moved in made:
        ring("job", moved.job.pk)
        if moved.after == JobStatus.QUEUING and moved.job.agent_id:
            ring("agent", moved.job.agent_id)
        if moved.move == Move.ASK_CANCEL and moved.job.agent_id:
            ring("beat", moved.job.agent_id)


def record_submission(jobs: Sequence[Job], *, now: dt.datetime, actor_of: dict[str, str]) -> None:
    """Write the first event of jobs that were just inserted and ring their agents. `actor_of`: actor by job id."""
    moves = [
        JobMove(job=job, move=Move.SUBMIT, after=JobStatus.QUEUING, actor=actor_of[job.pk], request_id=job.pk)
        for job in jobs
    ]
    _insert_events(moves, now)
    tell_observers(moves, now)
    for job in jobs:
        if job.agent_id:
            ring("agent", job.agent_id)


def _new_values(move: Move, after: JobStatus, now: dt.datetime, lease: dt.timedelta) -> dict[str, object]:
    if move == Move.ASK_CANCEL:
        return {"cancel_requested_at": now}
    values: dict[str, object] = {"status": after}
    if after in _MOMENT:
        values[_MOMENT[after]] = now
    if after in TERMINAL:
        values |= {"lease_until": None, "distinct_slot": None}
    if move in (Move.CLAIM, Move.PROGRESS):
        if not lease:
            raise ValueError(f"{move} needs a lease")
        values["lease_until"] = now + lease
    if move == Move.CLAIM:
        values["offer"] = models.F("offer") + 1
    if move == Move.REOFFER:
        values["lease_until"] = None
    if move == Move.FINISH_LATE:
        values["late"] = True
    return values


def _swap(members: Sequence[JobMove], values: dict[str, object], before: JobStatus) -> None:
    ids = [moved.job.pk for moved in members]
    numbered = values | {"events_count": models.F("events_count") + 1}
    changed = Job.objects.filter(pk__in=ids, status=before).update(**numbered)
    if changed != len(ids):
        raise LostRace
    for moved in members:
        moved.job.events_count += 1
        for name, value in values.items():
            if name == "offer":
                moved.job.offer += 1
            else:
                setattr(moved.job, name, value)


def _insert_events(moves: Sequence[JobMove], now: dt.datetime) -> None:
    rows = [
        JobEvent(
            job=moved.job,
            number=moved.job.events_count,
            at=now,
            move=moved.move,
            before=moved.before or "",
            after=moved.after,
            actor=moved.actor,
            text=moved.text[:RESULT_CHARACTERS],
            request_id=moved.request_id,
        )
        for moved in moves
    ]
    JobEvent.objects.bulk_create(rows)


def _insert_outputs(moves: Sequence[JobMove], now: dt.datetime) -> None:
    rows = []
    for moved in moves:
        if moved.output is None:
            continue
        output, kept = moved.output, keep_head_and_tail(moved.output.text)
        rows.append(
            JobOutput(
                job=moved.job,
                result=output.text[:RESULT_CHARACTERS],
                text=kept.text,
                size_bytes=max(kept.size_bytes, output.size_bytes or 0),
                truncated=kept.truncated or output.truncated,
                exit_code=output.exit_code,
                signal=output.signal,
                reason=output.reason,
                log_size=output.log_size,
                created_at=now,
            )
        )
    JobOutput.objects.bulk_create(rows)
