"""What workers do: carry one delivery, by its id, and find those whose bell was lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

from celery import current_app, shared_task

from notifications.deliveries import upkeep
from notifications.deliveries.courier import carry
from notifications.deliveries.sweep import SWEEP_LIMIT, ring_due_deliveries

QUEUE = "deliveries"
_WAKE_EXPIRES_SECONDS = 30
_LONGEST_SECONDS = 30.0


@shared_task(name="notifications.deliver")
def deliver_one(delivery_id: str) -> None:
    """Carry a delivery. Rung twice, or late: it is sent once."""
    carry(delivery_id)


@shared_task(name="notifications.sweep_deliveries")
def sweep_deliveries() -> None:
    """Ring what is due and was not taken, unless the couriers are behind with the bells that they have.

    Else every sweep would ring a long backlog again, and they would do nothing but throw old bells away.
    """
    with current_app.connection_or_acquire() as connection:
        unheard = connection.default_channel.queue_declare(queue=QUEUE).message_count
    if unheard < SWEEP_LIMIT:
        ring_due_deliveries()


@shared_task(name="notifications.sweep_old")
def sweep_old() -> None:
    """Forget what is old, for a few seconds: the rest in an hour."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    for forget in (upkeep.forget_old_deliveries, upkeep.forget_old_messages, upkeep.forget_shut_targets):
        while forget() and time.monotonic() < deadline:
            continue


def ring_workers(ids: Sequence[str]) -> None:
    """Tell the couriers of deliveries, once. Without a broker the sweep does it later."""
    for delivery_id in ids:
        deliver_one.apply_async(args=(delivery_id,), queue=QUEUE, expires=_WAKE_EXPIRES_SECONDS, retry=False)
