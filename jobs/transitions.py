"""The one place where a job moves.

`move_jobs` checks the table of `jobs.states`, swaps the status only where it still is what the caller saw, writes an
event and, at an end, the output, tells the observers, and rings after COMMIT. Callers lock the rows first with
`lock_jobs`, so that a lost race is rare; after one the whole batch is rolled back and run again item by item.

Outbox rows, stream events, retries and chains are written by observers: features register here, and this module knows
none of them.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from django.conf import settings
from django.db import models

from jobs.models import Job, JobEvent, JobOutput
from jobs.states import TERMINAL, TRANSITIONS, JobStatus, Move
from kernel.bells import ring
from kernel.text import RESULT_CHARACTERS, keep_head_and_tail
from kernel.transactions import LostRace


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The output of a job and its end. `size_bytes` None: as long as `text`, which was not cut."""

    text: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    truncated: bool = False
    size_bytes: int | None = None
    log_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMove:
    """One move of a job to the status `after`; `actor` makes it, `text` is what the actor says.

    `lease`, needed by claims and progress: how long the agent may be silent from now on. `protocol`: that of the agent
    that claims. `agent_id`: the job's new agent, "" for none; None: it stays. `move_jobs` fills in `before` and
    `slot`, the distinct slot that the job held until then.
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


Observer: TypeAlias = "Callable[[Sequence[JobMove], dt.datetime], None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interest:
    """An observer, and the moves that it observes; see `observe`."""

    observer: Observer
    after: Collection[JobStatus]
    needs: str
    setting: str

    def wants(self, moved: JobMove) -> bool:
        return moved.after in self.after and not (self.needs and not getattr(moved.job, self.needs))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _SameUpdate:
    """The values that moves share so that one UPDATE makes them. Zero and "" stand for None, so that groups sort."""

    move: Move
    before: JobStatus
    after: JobStatus
    lease: dt.timedelta
    protocol: int
    changes_hands: bool
    agent_id: str


_interests: list[_Interest] = []
_NO_LEASE = dt.timedelta(0)
_ENTERED_AT = {
    JobStatus.SENT: "sent_at",
    JobStatus.RUNNING: "running_at",
    JobStatus.SUCCEEDED: "succeeded_at",
    JobStatus.FAILED: "failed_at",
    JobStatus.EXPIRED: "expired_at",
    JobStatus.CANCELED: "canceled_at",
}
"""The column with the time at which a job last entered a status."""


def observe(
    observer: Observer, *, after: Collection[JobStatus] = tuple(JobStatus), needs: str = "", setting: str = ""
) -> None:
    """Tell `observer` of moves, inside their transaction; its error rolls them back. Called in `AppConfig.ready()`.

    It gets the moves to a status in `after`, of jobs whose field `needs` is set, while the setting `setting` is on, and
    is not called where there are none.
    """
    _interests.append(_Interest(observer=observer, after=frozenset(after), needs=needs, setting=setting))


def lock_jobs(ids: Collection[str]) -> dict[str, Job]:
    """Lock jobs in the order of their ids (no two transactions cross) and return them by id."""
    rows = Job.objects.select_for_update().filter(pk__in=sorted(ids)).order_by("pk")
    return {job.pk: job for job in rows}


def move_jobs(moves: Sequence[JobMove], *, now: dt.datetime) -> None:
    """Make all these moves in the caller's transaction, or raise LostRace.

    1. A move that the table does not have is a bug: ValueError. 2. One conditional UPDATE for each `_SameUpdate`.
    3. Outputs and events are inserted. 4. Observers run. 5. Bells ring after COMMIT: the job's for callers that
    wait for it, the agent's where work appeared.

    A job object may be in one move only; it is changed to what the row now holds.
    """
    made = [replace(moved, before=JobStatus(moved.job.status), slot=moved.job.distinct_slot) for moved in moves]
    groups: defaultdict[_SameUpdate, list[JobMove]] = defaultdict(list)
    for moved in made:
        groups[_same_update(moved)].append(moved)
    for group in sorted(groups):
        _swap(groups[group], _new_values(group, now), group.before)
    _insert_outputs(made, now)
    _insert_events(made, now)
    _tell_observers(made, now)
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
    _tell_observers(moves, now)
    for job in jobs:
        if job.agent_id:
            ring("agent", job.agent_id)


def _same_update(moved: JobMove) -> _SameUpdate:
    if moved.before is None or (moved.before, moved.after) not in TRANSITIONS[moved.move]:
        raise ValueError(f"{moved.move} does not lead from {moved.before} to {moved.after}")
    return _SameUpdate(
        move=moved.move,
        before=moved.before,
        after=moved.after,
        lease=moved.lease or _NO_LEASE,
        protocol=moved.protocol or 0,
        changes_hands=moved.agent_id is not None,
        agent_id=moved.agent_id or "",
    )


def _new_values(group: _SameUpdate, now: dt.datetime) -> dict[str, object]:
    """Return the columns that the moves of a group change, `events_count` apart."""
    move, after = group.move, group.after
    if move == Move.ASK_CANCEL:
        return {"cancel_requested_at": now}
    values: dict[str, object] = {"status": after}
    if after in _ENTERED_AT:
        values[_ENTERED_AT[after]] = now
    if after in TERMINAL:
        values |= {"lease_until": None, "distinct_slot": None}
    if move in (Move.CLAIM, Move.PROGRESS):
        if not group.lease:
            raise ValueError(f"{move} needs a lease")
        values["lease_until"] = now + group.lease
    if move == Move.CLAIM:
        values["offer"] = models.F("offer") + 1
    if move == Move.REOFFER:
        values["lease_until"] = None
    if move == Move.FINISH_LATE:
        values["late"] = True
    if group.protocol:
        values["protocol"] = group.protocol
    if group.changes_hands:
        values["agent_id"] = group.agent_id or None
    return values


def _tell_observers(moves: Sequence[JobMove], now: dt.datetime) -> None:
    for interest in _interests:
        wanted = [moved for moved in moves if interest.wants(moved)]
        if wanted and (not interest.setting or getattr(settings, interest.setting)):
            interest.observer(wanted, now)


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
