"""A delivery is sent once, tried again where that helps, handed on where it is refused, and never lost."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from accounts.models import User
from devtools.simulator.client import Simulator
from kernel.clock import database_now
from notifications.channels.service import delete_channel
from notifications.deliveries.claim import claim_next
from notifications.deliveries.finish import finish_delivery
from notifications.deliveries.replay import replay_delivery
from notifications.deliveries.sending import deliver
from notifications.deliveries.sweep import ring_due_deliveries
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, Delivery, DeliveryState, Level, Message
from notifications.quota.chat_credit import open_credit
from tests.factories import make_user
from tests.notifications.conftest import Robot

pytestmark = pytest.mark.django_db


def send(user: User, text: str = "hello", **more: Any) -> Delivery:
    """Store a message and try its first delivery."""
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text=text, **more)])
    assert isinstance(message, Message)
    delivery = message.deliveries.order_by("pk")[0]
    deliver(delivery.pk)
    return Delivery.objects.get(pk=delivery.pk)


def due_now(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(due_at=database_now())


def said(sim: Simulator, path: str = "/cgi-bin/webhook/send") -> list[str]:
    """Return the texts that the robots received."""
    return [json.loads(call["body"])["text"]["content"] for call in sim.calls(path)]


def test_a_message_arrives_once(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    channel = robot(user)
    delivery = send(user, "到了 👍")
    assert (delivery.state, delivery.tries, delivery.fault) == (DeliveryState.SENT, 1, "")
    deliver(delivery.pk)
    assert said(sim) == ["到了 👍"]
    assert Channel.objects.get(pk=channel.pk).last_sent_at is not None


def test_only_one_of_two_senders_has_it(robot: Robot) -> None:
    user = make_user()
    robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x")])
    assert isinstance(message, Message)
    delivery = message.deliveries.get()
    first = claim_next(delivery.pk)
    assert first is not None
    assert claim_next(delivery.pk) is None


def test_a_busy_service_is_tried_again_and_counts_as_one_message(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    robot(user)
    robot(user)
    sim.fault("errcode:-1", "/cgi-bin/webhook/send", times=1)
    delivery = send(user)
    assert (delivery.state, delivery.fault, delivery.provider_code) == (DeliveryState.RETRY, "retry", "-1")
    assert 3 < (delivery.due_at - database_now()).total_seconds() < 7
    deliver(delivery.pk)
    assert Delivery.objects.get(pk=delivery.pk).tries == 1
    due_now(delivery)
    deliver(delivery.pk)
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.SENT
    assert Delivery.objects.count() == 1


def test_a_definite_refusal_goes_to_the_next_channel_at_once(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    robot(user)
    second = robot(user)
    sim.fault("errcode:40058", "/cgi-bin/webhook/send", times=1)
    delivery = send(user)
    assert (delivery.state, delivery.fault, delivery.provider_code) == (DeliveryState.DEAD, "permanent", "40058")
    following = Delivery.objects.exclude(pk=delivery.pk).get()
    assert (following.channel, following.state) == (second, DeliveryState.PENDING)
    deliver(following.pk)
    assert Delivery.objects.get(pk=following.pk).state == DeliveryState.SENT


def test_no_answer_is_no_refusal_no_other_channel_says_it_too(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    robot(user)
    robot(user)
    sim.fault("drop_connection", "/cgi-bin/webhook/send", times=20)
    delivery = send(user)
    while delivery.state == DeliveryState.RETRY:
        due_now(delivery)
        deliver(delivery.pk)
        delivery = Delivery.objects.get(pk=delivery.pk)
    assert (delivery.state, delivery.unheard) == (DeliveryState.DEAD, True)
    assert Delivery.objects.count() == 1


def test_a_broken_channel_is_switched_off_and_the_next_one_says_so(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    broken = robot(user, gone=True)
    second = robot(user)
    delivery = send(user)
    assert (delivery.state, delivery.fault, delivery.provider_code) == (DeliveryState.DEAD, "auth", "93000")
    broken.refresh_from_db()
    assert (broken.enabled, broken.off_reason) == (False, "93000")
    texts = {row.message.text: row.channel for row in Delivery.objects.exclude(pk=delivery.pk) if row.message}
    assert len(texts) == 2
    assert set(texts.values()) == {second}
    assert any(broken.name in text for text in texts)


def test_what_waits_for_a_channel_that_was_removed_goes_on_to_the_next(robot: Robot) -> None:
    user = make_user()
    first, second = robot(user), robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x")])
    assert isinstance(message, Message)
    delivery = message.deliveries.get()
    delete_channel(channel=first, actor="test")
    deliver(delivery.pk)
    assert Delivery.objects.exclude(pk=delivery.pk).get().channel == second


def test_a_robot_is_never_hurried(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    robot(user)
    sent = [send(user, f"{number}") for number in range(22)]
    states = [delivery.state for delivery in sent]
    assert states.count(DeliveryState.SENT) == 20
    waits = [delivery for delivery in sent if delivery.state == DeliveryState.PENDING]
    assert len(waits) == 2
    assert all(50 < (delivery.due_at - database_now()).total_seconds() <= 60 for delivery in waits)
    assert all(delivery.tries == 0 for delivery in waits)
    assert len(said(sim)) == 20


def test_a_sender_that_died_is_followed_by_another_and_five_deaths_park_it(robot: Robot) -> None:
    user = make_user()
    robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x")])
    assert isinstance(message, Message)
    delivery = message.deliveries.get()
    now = database_now()
    deaths = 0
    while claim_next(delivery.pk, now=now) is not None:
        deaths += 1
        assert ring_due_deliveries(now=now) == 0
        now += dt.timedelta(seconds=70)
        assert ring_due_deliveries(now=now) == 1
    delivery.refresh_from_db()
    assert (deaths, delivery.state, delivery.provider_code) == (5, DeliveryState.DEAD, "parked")


def test_a_late_finish_changes_nothing(robot: Robot) -> None:
    user = make_user()
    robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x")])
    assert isinstance(message, Message)
    delivery = message.deliveries.get()
    now = database_now()
    slow = claim_next(delivery.pk, now=now)
    quick = claim_next(delivery.pk, now=now + dt.timedelta(seconds=61))
    assert slow is not None
    assert quick is not None
    finish_delivery(slow, ChannelError(Fault.PERMANENT, "late"))
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.IN_FLIGHT
    finish_delivery(quick, Receipt(provider_id="1"))
    finish_delivery(slow, ChannelError(Fault.PERMANENT, "late"))
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.SENT


def test_what_was_given_up_can_be_tried_once_more(robot: Robot, sim: Simulator) -> None:
    user = make_user()
    robot(user)
    sim.fault("errcode:40058", "/cgi-bin/webhook/send", times=1)
    delivery = send(user)
    assert delivery.state == DeliveryState.DEAD
    assert replay_delivery(delivery)
    assert not replay_delivery(delivery)
    deliver(delivery.pk)
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.SENT


def _wechat(user: User, sim: Simulator, settings: Any) -> tuple[Channel, str]:
    for name, value in sim.settings().items():
        short = name.removeprefix("LETSERVER_")
        if short.startswith("WECHAT"):
            setattr(settings, short, json.loads(value) if short.endswith("FIELDS") else value)
    settings.WECHAT_STABLE_TOKEN, settings.WECHAT_PLAIN_COMMANDS = True, False
    openid = sim.user("alice")
    sim.follow(openid)
    now = database_now()
    channel = Channel.objects.create(
        owner=user, name="wechat", driver="wechat", account=settings.WECHAT_APPID, address=openid,
        levels=list(Level.values), created_at=now, changed_at=now,
    )  # fmt: skip
    open_credit(owner_id=user.pk, account=channel.account, address=openid, now=now)
    return channel, openid


@pytest.mark.parametrize("code", ["45015", "45047"])
def test_auto_takes_the_template_when_the_text_is_refused_and_the_ledger_learns(
    sim: Simulator, settings: Any, code: str
) -> None:
    user = make_user()
    _channel, _openid = _wechat(user, sim, settings)
    sim.fault(f"errcode:{code}", "/cgi-bin/message/custom/send", times=1)
    delivery = send(user, way="auto")
    assert (delivery.state, delivery.way, delivery.provider_code) == (DeliveryState.DEAD, "text", code)
    following = Delivery.objects.exclude(pk=delivery.pk).get()
    assert following.way == "template"
    deliver(following.pk)
    assert Delivery.objects.get(pk=following.pk).state == DeliveryState.SENT
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="next", way="auto")])
    assert isinstance(message, Message)
    assert message.deliveries.get().way == "template"


def test_refused_twice_at_one_count_is_the_limit(sim: Simulator, settings: Any) -> None:
    user = make_user()
    channel, openid = _wechat(user, sim, settings)
    for _window in range(2):
        open_credit(owner_id=user.pk, account=channel.account, address=openid, now=database_now())
        sim.fault("errcode:45047", "/cgi-bin/message/custom/send", times=1)
        send(user, f"refused {_window}", way="text")
    open_credit(owner_id=user.pk, account=channel.account, address=openid, now=database_now())
    credit = user.chat_credits.get()
    assert (credit.learned, credit.limit) == (0, 0)


def test_a_text_whose_end_nobody_heard_is_counted_and_so_is_its_repeat(sim: Simulator, settings: Any) -> None:
    user = make_user()
    _wechat(user, sim, settings)
    sim.fault("drop_answer", "/cgi-bin/message/custom/send", times=1)
    delivery = send(user, "one", way="text")
    assert (delivery.state, delivery.unheard, user.chat_credits.get().used) == (DeliveryState.RETRY, True, 1)
    due_now(delivery)
    deliver(delivery.pk)
    assert Delivery.objects.get(pk=delivery.pk).state == DeliveryState.SENT
    assert user.chat_credits.get().used == 2

    # Its sender dies, and the window is full by then: the retry uses the reservation that it has.
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="two", way="text")])
    assert isinstance(message, Message)
    claim_next(message.deliveries.get().pk)
    user.chat_credits.update(used=20)
    Delivery.objects.filter(message=message).update(claimed_until=database_now())
    deliver(message.deliveries.get().pk)
    assert message.deliveries.get().state == DeliveryState.SENT
    assert user.chat_credits.get().used == 20


def test_who_has_left_while_a_message_waited_is_told_on_the_next_channel(
    sim: Simulator, settings: Any, robot: Robot
) -> None:
    user = make_user()
    channel, openid = _wechat(user, sim, settings)
    second = robot(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x", way="template")])
    assert isinstance(message, Message)
    delivery = message.deliveries.get()
    sim.unfollow(openid, wait=False)
    deliver(delivery.pk)
    delivery.refresh_from_db()
    channel.refresh_from_db()
    assert (delivery.state, delivery.provider_code) == (DeliveryState.DEAD, "43004")
    assert not channel.enabled
    assert {row.channel for row in Delivery.objects.exclude(pk=delivery.pk)} == {second}


def test_a_days_calls_that_are_used_up_go_elsewhere_or_wait_for_the_next_day(
    sim: Simulator, settings: Any, robot: Robot
) -> None:
    user = make_user()
    _wechat(user, sim, settings)
    sim.fault("errcode:45009", "/cgi-bin/message/template/send", times=2)
    delivery = send(user, way="template")
    assert (delivery.state, delivery.fault) == (DeliveryState.RETRY, "quota")
    assert 0 < (delivery.due_at - database_now()).total_seconds() <= 24 * 3600 + 60
    robot(user)
    delivery = send(user, "next", way="template")
    assert (delivery.state, delivery.provider_code) == (DeliveryState.DEAD, "45009")
