"""What follows the end of a job: the next attempt, else the jobs that its owner hung on it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import cast

from agents.models import Agent, AgentName
from jobs.following import Follower
from jobs.life.insert import place_jobs
from jobs.life.retry import has_failed, retry_failed
from jobs.models import SOURCE_LENGTH, Job
from jobs.states import JobStatus, Move
from jobs.transitions import JobMove
from kernel.ids import is_id, occurrence_id
from kernel.text import name_key

logger = logging.getLogger(__name__)


def follow_ends(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Observer: try again what has failed, and start what waits for an end, in the transaction of that end.

    `success` follows a job that succeeded, `failure` one that has failed or expired with no try left. What was
    canceled is followed by nothing, and so is a late result: its end was told when it expired.
    """
    retried = retry_failed(moved, now)
    ends = [(one, word) for one in moved if one.job.then and (word := _word(one)) and one.job.pk not in retried]
    wishes = [
        (one.job, number, follower)
        for one, word in ends
        for number, follower in enumerate(cast("list[Follower]", one.job.then))
        if follower["on"] == word
    ]
    if not wishes:
        return
    jobs = []
    for parent, number, follower in wishes:
        agent = _find(parent.owner_id, follower["agent"])
        if agent is None:
            logger.warning("nobody to follow", extra={"action": "chains.no_agent", "job": parent.pk})
            continue
        jobs.append(_job(parent, number, follower, agent, now))
    place_jobs(jobs, now=now, actor_of={job.pk: f"job:{job.parent_id}" for job in jobs})


def _word(one: JobMove) -> str:
    if one.move == Move.FINISH and one.after == JobStatus.SUCCEEDED:
        return "success"
    return "failure" if has_failed(one) else ""


def _find(owner_id: str, called: str) -> Agent | None:
    """Return the agent as it is called now; None for one that was deleted or disabled since."""
    agents = Agent.objects.present().filter(owner_id=owner_id, enabled=True)
    if is_id(called):
        return agents.filter(pk=called).first()
    name = AgentName.objects.filter(owner_id=owner_id, key=name_key(called)).first()
    return agents.filter(pk=name.agent_id).first() if name else None


def _job(parent: Job, number: int, follower: Follower, agent: Agent, now: dt.datetime) -> Job:
    occurrence = f"then:{number}"
    job_id = occurrence_id(parent.pk, occurrence)
    return Job(
        id=job_id,
        owner_id=parent.owner_id,
        agent=agent,
        message=follower["message"],
        source=f"job:{parent.pk}"[:SOURCE_LENGTH],
        then=follower.get("then"),
        status=JobStatus.QUEUING,
        events_count=1,
        root_id=job_id,
        parent_id=parent.pk,
        occurrence=occurrence,
        created_at=now,
        active_at=now,
    )
