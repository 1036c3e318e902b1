"""A delivery is rung at the couriers through the broker that the settings name."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kernel.bells import ringer
from notifications.models import Message
from notifications.services.accept import Wish, accept_messages
from tests.factories import make_user
from tests.lanes.lane import Lane
from tests.notifications.conftest import Robot


@pytest.mark.django_db(transaction=True)
def test_a_stored_message_rings_the_couriers_queue_with_its_deliverys_id(robot: Robot, lane: Lane) -> None:
    user = make_user()
    robot(user)
    (message,) = accept_messages([Wish(owner_id=user.pk, text="secret text")])
    assert isinstance(message, Message)
    ringer.wait_until_empty()
    (told,) = lane.redis.lrange("letserver:celery:deliveries", 0, -1)
    assert _arguments(told) == [message.deliveries.get().pk]
    assert b"secret" not in told


def _arguments(told: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(told)["body"]))[0]
