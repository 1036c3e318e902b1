"""What workers do: carry one delivery, by its id, and find those whose bell was lost."""

from __future__ import annotations

from collections.abc import Sequence

from celery import shared_task

from notifications.courier import carry
from notifications.services.outbox import ring_due_deliveries

QUEUE = "deliveries"
_WAKE_EXPIRES_SECONDS = 30


@shared_task(name="notifications.deliver")
def deliver_one(delivery_id: str) -> None:
    """Carry a delivery. Rung twice, or late: it is sent once."""
    carry(delivery_id)


@shared_task(name="notifications.sweep_deliveries")
def sweep_deliveries() -> None:
    """Ring what is due and was not taken."""
    ring_due_deliveries()


def ring_workers(ids: Sequence[str]) -> None:
    """Tell the couriers of deliveries, once. Without a broker the sweep does it later."""
    for delivery_id in ids:
        deliver_one.apply_async(args=(delivery_id,), queue=QUEUE, expires=_WAKE_EXPIRES_SECONDS, retry=False)
