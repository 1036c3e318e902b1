"""A delivery is rung at the couriers through the broker that the settings name."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import pytest

from kernel.bells import ringer
from kernel.clock import database_now
from notifications.deliveries.sweep import SWEEP_LIMIT
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Delivery, Message
from notifications.tasks import sweep_deliveries
from tests.factories import make_user
from tests.lanes.lane import Lane
from tests.notifications.conftest import Robot

_QUEUE = "letserver:celery:deliveries"


@pytest.mark.django_db(transaction=True)
def test_a_stored_message_rings_the_couriers_queue_with_its_deliverys_id(robot: Robot, lane: Lane) -> None:
    user = make_user()
    robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="secret text")])
    assert isinstance(message, Message)
    ringer.wait_until_empty()
    (told,) = lane.redis.lrange(_QUEUE, 0, -1)
    assert _arguments(told) == [message.deliveries.get().pk]
    assert b"secret" not in told


@pytest.mark.django_db(transaction=True)
def test_the_sweep_rings_again_what_nobody_took_but_not_into_a_full_queue(robot: Robot, lane: Lane) -> None:
    user = make_user()
    robot(user)
    accept_messages([NewMessage(owner_id=user.pk, text="lost")])
    ringer.wait_until_empty()
    Delivery.objects.update(due_at=database_now() - dt.timedelta(seconds=10))
    lane.redis.flushall()
    sweep_deliveries()
    ringer.wait_until_empty()
    (told,) = lane.redis.lrange(_QUEUE, 0, -1)
    assert _arguments(told) == [Delivery.objects.get().pk]
    lane.redis.lpush(_QUEUE, *[told] * SWEEP_LIMIT)
    sweep_deliveries()
    ringer.wait_until_empty()
    assert lane.redis.llen(_QUEUE) == SWEEP_LIMIT + 1


def _arguments(told: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(told)["body"]))[0]
