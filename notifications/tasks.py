"""Celery tasks: send one delivery, ring lost ones, prune old ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

from celery import current_app, shared_task

from notifications.deliveries import upkeep
from notifications.deliveries.courier import carry
from notifications.deliveries.sweep import SWEEP_LIMIT, ring_due_deliveries

QUEUE = "deliveries"
_LONGEST_SECONDS = 30.0


@shared_task(name="notifications.deliver")
def deliver_one(delivery_id: str) -> None:
    """Send a delivery; idempotent."""
    carry(delivery_id)


@shared_task(name="notifications.sweep_deliveries")
def sweep_deliveries() -> None:
    """Ring due deliveries, unless the couriers' queue is full already.

    Otherwise every sweep would ring a long backlog again, and the couriers would only drop old bells.
    """
    with current_app.connection_or_acquire() as connection:
        waiting = connection.default_channel.queue_declare(queue=QUEUE).message_count
    if waiting < SWEEP_LIMIT:
        ring_due_deliveries()


@shared_task(name="notifications.sweep_old")
def sweep_old() -> None:
    """Prune old rows for at most 30 seconds; the next run goes on."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    for forget in (upkeep.forget_old_deliveries, upkeep.forget_old_messages, upkeep.forget_shut_targets):
        while forget() and time.monotonic() < deadline:
            continue


def ring_workers(ids: Sequence[str]) -> None:
    """Enqueue a courier task for each delivery, without retries: the sweep repairs a lost one.

    It does not expire, because the row says whether there is something to send.
    """
    for delivery_id in ids:
        deliver_one.apply_async(args=(delivery_id,), queue=QUEUE, retry=False)
