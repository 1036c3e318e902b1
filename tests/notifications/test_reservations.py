"""A reservation is given back if the delivery did not use it, and a message is not sent twice by one way."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import translation

from accounts.models import QuotaUse, User
from accounts.services.tokens import mint_user_token
from agents.services.manage import create_agent
from kernel.clock import database_now
from kernel.errors import InvalidRequest, LimitExceeded, NotFound
from kernel.ids import new_id
from notifications.channels.service import ChannelChange, create_channel, update_channel
from notifications.deliveries import sending, sweep
from notifications.deliveries.claim import claim_next
from notifications.deliveries.claimed import Claimed
from notifications.deliveries.finish import finish_delivery
from notifications.deliveries.replay import replay_delivery
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.messages.accept import accept_messages
from notifications.messages.actions import Choice, take_action
from notifications.messages.new_message import ActionRequest, NewMessage
from notifications.messages.read import withdraw_message
from notifications.models import Channel, Delivery, DeliveryKind, DeliveryState, Level, Message
from notifications.quota.chat_credit import open_credit
from notifications.quota.ledger import day_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

REFUSED = ChannelError(Fault.PERMANENT, "40003")


def make_channel(user: User, address: str = "openid-1", position: int = 0) -> Channel:
    """A chat of WeChat; nothing is sent to it here."""
    now = database_now()
    return Channel.objects.create(
        owner=user, name=f"wechat {address}", driver="wechat", account="wxapp", address=address, position=position,
        levels=list(Level.values), created_at=now, changed_at=now,
    )  # fmt: skip


def noon() -> dt.datetime:
    """Tomorrow's: far from where one day's count ends and the next begins."""
    return day_of(database_now())[1] + dt.timedelta(hours=12)


def accepted(user: User, text: str = "hello", *, now: dt.datetime | None = None, **more: Any) -> Delivery:
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text=text, **more)], now=now)
    assert isinstance(message, Message), message
    return message.deliveries.get()


def claimed(delivery: Delivery, now: dt.datetime | None = None) -> Claimed:
    found = claim_next(delivery.pk, now=now)
    assert found is not None
    return found


def fresh(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


def heir_of(delivery: Delivery) -> Delivery:
    return Delivery.objects.filter(message_id=delivery.message_id).exclude(pk=delivery.pk).get()


def test_what_is_replaced_or_taken_back_gives_its_place_back(settings: Any) -> None:
    settings.TEXTS_A_WINDOW = 2
    user = make_user()
    make_channel(user)
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=database_now())
    later = database_now() + dt.timedelta(seconds=10)
    rows = [
        accepted(user, f"{number} %", way="text", key="job", not_before=later, must_reach=True) for number in range(5)
    ]
    assert user.chat_credits.get().used == 1
    withdraw_message(viewer=user, message_id=str(rows[-1].message_id))
    assert user.chat_credits.get().used == 0
    assert set(Delivery.objects.values_list("state", "reserved")) == {(DeliveryState.WITHDRAWN, "")}


def test_what_waits_for_a_channel_that_is_switched_off_gives_its_place_back() -> None:
    user = make_user()
    channel = make_channel(user)
    delivery = accepted(user, way="template")
    update_channel(channel=channel, change=ChannelChange(enabled=False), actor="test")
    assert claim_next(delivery.pk) is None
    assert (fresh(delivery).state, fresh(delivery).reserved) == (DeliveryState.DEAD, "")
    assert QuotaUse.objects.get().used == 0


def test_a_message_is_counted_on_the_day_on_which_it_goes() -> None:
    user = make_user()
    make_channel(user)
    now = database_now()
    tomorrow = day_of(now)[1] + dt.timedelta(hours=12)
    delivery = accepted(user, way="template", not_before=tomorrow)
    claimed(delivery, now=tomorrow)
    days = {row.window_start: row.used for row in QuotaUse.objects.all()}
    assert days == {day_of(now)[0]: 0, day_of(tomorrow)[0]: 1}


def test_a_refusal_after_a_time_out_is_no_word_about_the_first_try() -> None:
    user = make_user()
    make_channel(user)
    make_channel(user, "openid-2", position=1)
    now = noon()
    delivery = accepted(user, way="template", now=now)
    finish_delivery(claimed(delivery, now=now), ChannelError(Fault.RETRY, "timeout", unheard=True), now=now)
    finish_delivery(claimed(delivery, now=now + dt.timedelta(minutes=1)), REFUSED)
    assert fresh(delivery).state == DeliveryState.DEAD
    assert Delivery.objects.count() == 1
    assert QuotaUse.objects.get().used == 1


def test_what_was_handed_on_is_not_said_again_and_a_replay_counts() -> None:
    user = make_user()
    make_channel(user)
    make_channel(user, "openid-2", position=1)
    delivery = accepted(user, way="template")
    finish_delivery(claimed(delivery), REFUSED)
    heir = heir_of(delivery)
    finish_delivery(claimed(heir), REFUSED)
    assert QuotaUse.objects.get().used == 0
    assert not replay_delivery(fresh(delivery))
    assert replay_delivery(fresh(heir))
    finish_delivery(claimed(heir), Receipt(provider_id="1"))
    assert (fresh(heir).state, fresh(delivery).state) == (DeliveryState.SENT, DeliveryState.DEAD)
    assert QuotaUse.objects.get().used == 1


def test_the_next_channels_quiet_hours_hold_too(settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    user = make_user()
    make_channel(user)
    second = make_channel(user, "openid-2", position=1)
    night = database_now().replace(hour=23, minute=0) + dt.timedelta(days=1)
    Channel.objects.filter(pk=second.pk).update(quiet_from=dt.time(22), quiet_until=dt.time(7))
    delivery = accepted(user, way="template")
    finish_delivery(claimed(delivery, now=night), REFUSED, now=night)
    heir = heir_of(delivery)
    assert claim_next(heir.pk, now=night) is None
    assert fresh(heir).state == DeliveryState.PENDING
    assert fresh(heir).due_at.hour == 7


def test_too_many_calls_in_a_minute_teach_nothing_about_the_window() -> None:
    user = make_user()
    make_channel(user)
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=database_now())
    delivery = accepted(user, way="text")
    finish_delivery(claimed(delivery), ChannelError(Fault.QUOTA, "45011", retry_after_seconds=60))
    assert fresh(delivery).state == DeliveryState.RETRY
    credit = user.chat_credits.get()
    assert (credit.used, credit.refused_at) == (0, None)


def test_old_news_that_comes_back_is_not_said_after_the_new() -> None:
    user = make_user()
    make_channel(user)
    now = noon()
    delivery = accepted(user, "50 %", way="template", key="job", now=now)
    on_its_way = claimed(delivery, now=now)
    accepted(user, "done", way="template", key="job", now=now)
    finish_delivery(on_its_way, ChannelError(Fault.RETRY, "http 503"), now=now)
    assert fresh(delivery).state == DeliveryState.WITHDRAWN
    assert QuotaUse.objects.get().used == 1


def test_a_chat_that_belongs_to_somebody_else_now_gets_nothing_of_what_waited() -> None:
    user, other = make_user(), make_user()
    channel = make_channel(user)
    delivery = accepted(user, way="template")
    Channel.objects.filter(pk=channel.pk).update(owner=other)
    assert claim_next(delivery.pk) is None
    assert fresh(delivery).state == DeliveryState.DEAD


@pytest.mark.django_db(transaction=True)
def test_what_became_of_a_try_is_written_down_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user()
    make_channel(user)
    delivery = accepted(user, way="template")
    said: list[str] = []

    def send(one: Claimed) -> Receipt:
        said.append(one.delivery.pk)
        return Receipt(provider_id="1")

    failures = iter([True, False])

    def deadlock(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if said and sql.startswith("UPDATE") and "notifications_delivery" in sql and next(failures, False):
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return execute(sql, params, many, context)

    monkeypatch.setitem(sending._senders, "message", send)
    with connection.execute_wrapper(deadlock):
        sending.deliver(delivery.pk)
    assert (fresh(delivery).state, len(said)) == (DeliveryState.SENT, 1)


def test_a_notice_speaks_the_language_of_its_reader() -> None:
    user = make_user()
    User.objects.filter(pk=user.pk).update(language="zh-hans")
    make_channel(user)
    make_channel(user, "openid-2", position=1)
    delivery = accepted(user, way="template")
    with translation.override("en"):
        finish_delivery(claimed(delivery), ChannelError(Fault.AUTH, "43004"))
    notice = Message.objects.exclude(pk=str(delivery.message_id)).get()
    assert "switched off" not in notice.text


def test_a_nearly_used_limit_is_told_in_the_language_of_its_reader(settings: Any) -> None:
    settings.TEMPLATES_A_DAY = 1
    user = make_user()
    User.objects.filter(pk=user.pk).update(language="zh-hans")
    make_channel(user)
    with translation.override("en"):
        delivery = accepted(user, way="template")
    notice = Message.objects.exclude(pk=str(delivery.message_id)).get()
    assert not notice.text.isascii()
    assert "template messages" not in notice.text


def test_a_number_means_what_the_person_can_see() -> None:
    user = make_user()
    later = database_now() + dt.timedelta(hours=1)
    for text, when in (("seen", None), ("later", later), ("taken back", None)):
        action = ActionRequest(label=text, agent="nas", text=text)
        (message,) = accept_messages([NewMessage(owner_id=user.pk, text=text, not_before=when, actions=(action,))])
    assert isinstance(message, Message)
    Message.objects.filter(pk=message.pk).update(withdrawn_at=database_now())
    choice = Choice(owner_id=user.pk, number=1)
    taken = take_action(choice)
    assert taken is not None
    assert taken.text == "seen"
    with translation.override("en"), pytest.raises(NotFound, match="chosen before"):
        take_action(choice)


def test_a_repetition_is_not_counted_where_one_target_has_it_already(settings: Any) -> None:
    settings.MERGE_SECONDS = 10
    user = make_user()
    for number in range(2):
        make_channel(user, f"openid-{number}", position=number)
    new_message = NewMessage(
        owner_id=user.pk, text="x", way="template", channels=("wechat openid-0", "wechat openid-1")
    )
    (message,) = accept_messages([new_message])
    assert isinstance(message, Message)
    claimed(message.deliveries.order_by("pk")[0])
    accept_messages([replace(new_message, message_id=new_id())])
    assert sorted(Message.objects.values_list("count", flat=True)) == [1, 1]


def test_nobody_waits_for_ever() -> None:
    user = make_user()
    far = dt.datetime.max.replace(tzinfo=dt.UTC)
    (error,) = accept_messages([NewMessage(owner_id=user.pk, text="x", not_before=far)])
    assert isinstance(error, InvalidRequest)


def test_a_lane_that_hangs_does_not_keep_the_sweep_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user()
    now = database_now()
    rung: list[str] = []
    monkeypatch.setattr(sweep, "ring", lambda _bell, delivery_id: rung.append(delivery_id))

    def row(number: int, lane: str, age: int) -> Delivery:
        return Delivery(
            owner=user, kind=DeliveryKind.CALLBACK, subject="job:1", target="https://x.example", lane=lane, payload={},
            dedupe_key=f"{lane}:{number}", due_at=now - dt.timedelta(seconds=age), created_at=now,
        )  # fmt: skip

    hanging = [row(number, "host:hangs", 900) for number in range(700)]
    others = [row(number, f"host:{number}", 60) for number in range(3)]
    Delivery.objects.bulk_create([*hanging, *others])
    assert sweep.ring_due_deliveries(now=now) == sweep.SWEEP_LIMIT
    assert {one.pk for one in others} < set(rung)
    assert len(set(rung)) == sweep.SWEEP_LIMIT


def test_what_two_agents_call_alike_are_two_messages(client: Client) -> None:
    user = make_user()
    for number in range(2):
        _agent, token = create_agent(owner=user, name=f"agent-{number}", actor="test")
        for _time in range(2):
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "1"}
            answer = client.post(
                "/agent/message/info", {"message": f"{number}"}, content_type="application/json", headers=headers
            )
            assert answer.status_code == 202
    assert Message.objects.filter(owner=user).count() == 2


def test_a_token_for_messages_reads_names_of_channels_and_nothing_that_was_entered(client: Client) -> None:
    user = make_user()
    create_channel(
        owner_id=user.pk, name="hook", driver="webhook", settings={"url": "https://x.example/?key=private"},
        levels=Level.values, actor="test",
    )  # fmt: skip
    shown = {}
    for scope in ("messages", "full"):
        token = mint_user_token(user=user, scope=scope, actor="test")
        answer = client.get("/channels", headers={"Authorization": f"Bearer {token}"})
        shown[scope] = answer.json()["items"][0]["name"], "private" in answer.content.decode()
    assert shown == {"messages": ("hook", False), "full": ("hook", True)}


def test_when_to_come_again_is_not_a_moment_too_early(settings: Any) -> None:
    settings.TEMPLATES_A_DAY = 0
    user = make_user()
    make_channel(user)
    now = day_of(database_now())[1] - dt.timedelta(milliseconds=1500)
    (error,) = accept_messages([NewMessage(owner_id=user.pk, text="x", way="template", must_reach=True)], now=now)
    assert isinstance(error, LimitExceeded)
    assert error.retry_after_seconds == 2


def test_a_template_that_is_tried_again_much_later_counts_twice() -> None:
    user = make_user()
    make_channel(user)
    now = noon()
    delivery = accepted(user, way="template", now=now)
    for minutes, used in ((0, 1), (1, 1), (3, 1), (8, 1), (30, 2)):
        then = now + dt.timedelta(minutes=minutes)
        finish_delivery(claimed(delivery, now=then), ChannelError(Fault.RETRY, "timeout", unheard=True), now=then)
        assert sum(row.used for row in QuotaUse.objects.all()) == used
