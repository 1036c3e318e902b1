"""Replay a delivery that was given up."""

from __future__ import annotations

from kernel.bells import ring
from kernel.clock import database_now
from kernel.transactions import named_transaction
from notifications.deliveries.callback_targets import open_target
from notifications.deliveries.rows import step_key
from notifications.models import Delivery, DeliveryState


def replay_delivery(delivery: Delivery) -> bool:
    """Start a dead delivery again with all its attempts; return False for any other, which stays as it is.

    A delivery that fell back to another channel is not replayed, because that channel has the message or can be
    replayed itself; nor is one whose message was withdrawn. The replay uses quota again.
    """
    with named_transaction("deliver.replay"):
        now = database_now()
        is_withdrawn = delivery.message is not None and delivery.message.withdrawn_at is not None
        if is_withdrawn or has_fallen_back(delivery):
            return False
        dead = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.DEAD)
        is_replayed = dead.update(
            state=DeliveryState.PENDING, due_at=now, tries=0, lost_tries=0, unheard=False, reserved="", fault="",
            provider_code="", ended_at=None,
        )  # fmt: skip
        if is_replayed:
            open_target(delivery)
            ring("delivery", delivery.pk)
        return bool(is_replayed)


def has_fallen_back(delivery: Delivery) -> bool:
    """Tell whether the message has a delivery on a later channel of this one's chain."""
    keys = [step_key(delivery.message_id, channel_id, way) for channel_id, way in delivery.fallback]
    return bool(keys) and Delivery.objects.filter(dedupe_key__in=keys).exists()
