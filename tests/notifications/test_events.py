"""With LETSERVER_EVENTS=on upstream programs find every move and every message on two Redis streams."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import User
from jobs.life.report import ReportKind
from kernel.clock import database_now
from notifications.deliveries import upkeep
from notifications.deliveries.sending import deliver
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Delivery, DeliveryKind, DeliveryState, Message, ShutTarget
from tests.factories import claim, make_agent, make_job, make_user, report
from tests.lanes.lane import Lane

pytestmark = pytest.mark.django_db


def say(user: User, text: str = "x") -> Message:
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text=text)])
    assert isinstance(message, Message)
    return message


def deliver_all() -> None:
    for pk in Delivery.objects.open().order_by("pk").values_list("pk", flat=True):
        deliver(pk)


def entries(lane: Lane, stream: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (event_id, data) of each entry of a stream."""
    return [(fields[b"event_id"].decode(), json.loads(fields[b"data"])) for _id, fields in lane.redis.xrange(stream)]


def test_moves_and_messages_are_told_on_their_streams(lane: Lane, settings: Any) -> None:
    settings.EVENTS = True
    agent = make_agent()
    job = make_job(agent, source="ci")
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "done")
    message = say(agent.owner, "你好")
    rows = list(Delivery.objects.filter(kind=DeliveryKind.EVENT).order_by("pk"))
    deliver_all()
    jobs, messages = entries(lane, "skadi:event:job:status"), entries(lane, "skadi:event:message")
    assert [event_id for event_id, _data in [*jobs, *messages]] == [row.pk for row in rows]
    assert [(data["status"], data["seq"], data["result"]) for _id, data in jobs] == [
        ("queuing", 1, ""),
        ("sent", 2, ""),
        ("succeeded", 3, "done"),
    ]
    assert {data["id"] for _id, data in jobs} == {job.pk}
    ((_event_id, data),) = messages
    assert (data["id"], data["user_id"], data["text"], data["level"]) == (message.pk, agent.owner_id, "你好", "info")


def test_an_event_outlives_a_redis_that_is_away(lane: Lane, settings: Any) -> None:
    settings.EVENTS = True
    say(make_user())
    row = Delivery.objects.get(kind=DeliveryKind.EVENT)
    lane.redis.config_set("maxmemory", 1)
    lane.redis.config_set("maxmemory-policy", "noeviction")
    try:
        deliver(row.pk)
    finally:
        lane.redis.config_set("maxmemory", 0)
    row.refresh_from_db()
    assert (row.state, row.provider_code) == (DeliveryState.RETRY, "OutOfMemoryError")
    Delivery.objects.update(due_at=database_now())
    deliver(row.pk)
    assert [event_id for event_id, _data in entries(lane, "skadi:event:message")] == [row.pk]


def test_nothing_is_written_unless_it_is_switched_on() -> None:
    agent = make_agent()
    make_job(agent)
    say(agent.owner)
    assert not Delivery.objects.exists()


@override_settings(EVENTS=True)
def test_what_has_ended_is_forgotten_in_time() -> None:
    user = make_user()
    agent = make_agent(owner=user)
    message = say(user)
    make_job(agent, callback="https://hooks.example/")
    claim(agent)
    old_message = say(user, "old")
    ShutTarget.objects.create(owner=user, digest="x", shut_at=database_now())
    now = database_now()
    ended = {"state": DeliveryState.DEAD, "due_at": now, "ended_at": now}
    Delivery.objects.update(**ended)
    # Something still waits of this one.
    Delivery.objects.create(
        owner=user, kind=DeliveryKind.MESSAGE, message=message, subject="x", target="x", dedupe_key="x", payload={},
        lane="x", due_at=now, created_at=now,
    )  # fmt: skip

    def left(**later: float) -> tuple[int, int, int, int]:
        moment = now + dt.timedelta(**later)
        upkeep.forget_old_deliveries(now=moment)
        upkeep.forget_old_messages(now=moment)
        upkeep.forget_shut_targets(now=moment)
        kinds = [Delivery.objects.filter(kind=kind).count() for kind in (DeliveryKind.CALLBACK, DeliveryKind.EVENT)]
        return kinds[0], kinds[1], Message.objects.count(), ShutTarget.objects.count()

    assert left(hours=23) == (1, 4, 2, 1)
    assert left(hours=25) == (1, 0, 2, 1)
    assert left(days=29) == (1, 0, 2, 1)
    assert left(days=31) == (0, 0, 2, 1)
    assert left(days=91) == (0, 0, 1, 0)
    assert not Message.objects.filter(pk=old_message.pk).exists()
