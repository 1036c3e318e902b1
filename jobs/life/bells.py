"""The effects of the jobs' bells: set the agent's flag and wake the gateways through Redis."""

from __future__ import annotations

from collections.abc import Sequence

from django_redis import get_redis_connection

from kernel.failpoints import reach
from kernel.rediskeys import READY_PREFIX, READY_SECONDS, WAKE_CHANNEL


def wake_agents(ids: Sequence[str]) -> None:
    """Flag these agents as having work and tell every gateway, in one round trip."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for agent_id in ids:
        pipeline.set(READY_PREFIX + agent_id, "1", ex=READY_SECONDS)
        pipeline.publish(WAKE_CHANNEL, f"agent {agent_id}")
    reach("flag.before_set")
    pipeline.execute()
    reach("flag.after_set")


def wake_job_watchers(ids: Sequence[str]) -> None:
    """Tell every gateway that these jobs have changed."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for job_id in ids:
        pipeline.publish(WAKE_CHANNEL, f"job {job_id}")
    pipeline.execute()


def wake_pullers(ids: Sequence[str]) -> None:
    """Tell every gateway that these queues have work for pullers."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for queue_id in ids:
        pipeline.publish(WAKE_CHANNEL, f"queue {queue_id}")
    pipeline.execute()


def wake_beats(ids: Sequence[str]) -> None:
    """Tell every gateway that these agents have jobs to end."""
    pipeline = get_redis_connection().pipeline(transaction=False)
    for agent_id in ids:
        pipeline.publish(WAKE_CHANNEL, f"beat {agent_id}")
    pipeline.execute()
