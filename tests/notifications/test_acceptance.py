"""A message is stored with everything that must be sent, or refused with the reason, and nothing between."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from kernel.clock import database_now
from kernel.errors import AppError, ChannelNotFound, IdempotencyMismatch, LimitExceeded, NoChannel
from notifications.channels.service import ChannelChange, update_channel
from notifications.deliveries import rows
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, Delivery, DeliveryState, Level, Message
from notifications.quota.chat_credit import open_credit
from notifications.quota.ledger import day_of
from tests.factories import make_user
from tests.notifications.conftest import Robot

pytestmark = pytest.mark.django_db


def new_message(user: User, text: str = "hello", **more: Any) -> NewMessage:
    return NewMessage(owner_id=user.pk, text=text, **more)


def accepted(one: NewMessage, now: dt.datetime | None = None) -> Message:
    (message,) = accept_messages([one], now=now)
    assert isinstance(message, Message), message
    return message


def refused(one: NewMessage) -> AppError:
    (error,) = accept_messages([one])
    assert isinstance(error, AppError), error
    return error


def wechat(user: User, address: str = "openid-1") -> Channel:
    now = database_now()
    return Channel.objects.create(
        owner=user, name=f"wechat {address}", driver="wechat", account="wxapp", address=address,
        levels=list(Level.values), created_at=now, changed_at=now,
    )  # fmt: skip


def test_the_first_channel_of_the_level_gets_it_and_the_others_stand_behind(robot: Robot) -> None:
    user = make_user()
    quiet, first, second = robot(user), robot(user), robot(user)
    update_channel(channel=quiet, change=ChannelChange(levels=["error"]), actor="test")
    (delivery,) = accepted(new_message(user)).deliveries.all()
    assert delivery.channel == first
    assert delivery.fallback == [[second.pk, ""]]
    (delivery,) = accepted(new_message(user, level=Level.ERROR)).deliveries.all()
    assert delivery.channel == quiet


def test_each_named_channel_gets_it_with_the_fallback_behind(robot: Robot) -> None:
    user = make_user()
    a, b, c = (robot(user, name=name) for name in "abc")
    found = accepted(new_message(user, channels=("b", a.pk), fallback=("c",))).deliveries.order_by("pk")
    assert [(row.channel, row.fallback) for row in found] == [(b, [[c.pk, ""]]), (a, [[c.pk, ""]])]


def test_a_channel_that_nobody_has_is_said(robot: Robot) -> None:
    user, other = make_user(), make_user()
    foreign = robot(other, name="theirs")
    robot(user)
    assert isinstance(refused(new_message(user, channels=("nowhere",))), ChannelNotFound)
    assert isinstance(refused(new_message(user, channels=(foreign.pk,))), ChannelNotFound)
    assert Message.objects.count() == 0


def test_nobody_to_tell(robot: Robot) -> None:
    user = make_user()
    assert isinstance(refused(new_message(user, must_reach=True)), NoChannel)
    assert list(accepted(new_message(user)).deliveries.all()) == []


def test_a_key_makes_one_message_and_another_request_under_it_is_refused(robot: Robot) -> None:
    user = make_user()
    robot(user)
    first = accepted(new_message(user, idempotency_key="k"))
    assert accepted(new_message(user, idempotency_key="k")).pk == first.pk
    assert isinstance(refused(new_message(user, "else", idempotency_key="k")), IdempotencyMismatch)
    assert Delivery.objects.count() == 1


def test_both_in_one_batch_make_one(robot: Robot) -> None:
    user = make_user()
    robot(user)
    first, second = accept_messages([new_message(user, idempotency_key="k"), new_message(user, idempotency_key="k")])
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert first.pk == second.pk


def test_a_burst_is_one_message_and_then_one_with_a_count(robot: Robot, settings: Any) -> None:
    settings.MERGE_SECONDS = 10
    user = make_user()
    robot(user)
    now = database_now()
    first = accepted(new_message(user), now)
    Delivery.objects.update(state=DeliveryState.SENT)
    second = accepted(new_message(user), now + dt.timedelta(seconds=1))
    assert second.pk != first.pk
    assert second.deliveries.get().due_at == now + dt.timedelta(seconds=10)
    for number in range(2, 9):
        again = accepted(new_message(user), now + dt.timedelta(seconds=number))
        assert again.pk == second.pk
    assert Message.objects.get(pk=second.pk).count == 8
    other = accepted(new_message(user, "something else"), now + dt.timedelta(seconds=3))
    assert other.deliveries.get().due_at == now + dt.timedelta(seconds=3)


def test_a_key_replaces_what_waits_under_it(robot: Robot) -> None:
    user = make_user()
    robot(user)
    later = database_now() + dt.timedelta(hours=1)
    first = accepted(new_message(user, "50 %", key="deploy", not_before=later))
    accepted(new_message(user, "100 %", key="deploy"))
    assert first.deliveries.get().state == DeliveryState.WITHDRAWN
    assert Message.objects.get(pk=first.pk).withdrawn_at is not None


@pytest.mark.parametrize(
    ("clock", "until"),
    [("21:59", "21:59"), ("22:00", "07:30"), ("23:30", "07:30"), ("00:10", "07:30"), ("07:30", "07:30")],
)
def test_information_waits_for_the_end_of_quiet_hours(robot: Robot, settings: Any, clock: str, until: str) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    user = make_user()
    channel = robot(user)
    update_channel(channel=channel, change=ChannelChange(quiet=(dt.time(22, 0), dt.time(7, 30))), actor="test")
    hour, minute = map(int, clock.split(":"))
    now = dt.datetime(2030, 1, 1, hour, minute, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    held = accepted(new_message(user, clock), now).deliveries.get().due_at.astimezone(now.tzinfo)
    assert f"{held:%H:%M}" == until
    assert now <= held < now + dt.timedelta(hours=10)
    assert accepted(new_message(user, clock, level=Level.WARNING), now).deliveries.get().due_at == now


def test_template_messages_of_a_day_are_counted_and_the_limit_is_named(settings: Any) -> None:
    settings.TEMPLATES_A_DAY, settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = 3, "T", "service"
    user = make_user()
    wechat(user)
    for number in range(3):
        accepted(new_message(user, f"{number}", way="template", must_reach=True))
    error = refused(new_message(user, "one more", way="template", must_reach=True))
    assert isinstance(error, LimitExceeded)
    assert error.params["limit"] == 3
    _start, end = day_of(database_now())
    assert error.retry_after_seconds is not None
    assert abs(error.retry_after_seconds - (end - database_now()).total_seconds()) < 60
    # A message that may wait is kept until there is room.
    assert accepted(new_message(user, "keep", way="template")).deliveries.get().due_at == end


def test_texts_need_a_word_of_the_person_and_it_opens_everything_again(settings: Any) -> None:
    settings.TEXTS_A_WINDOW, settings.WECHAT_TEMPLATE_INFO = 2, ""
    user = make_user()
    wechat(user)
    assert isinstance(refused(new_message(user, way="text", must_reach=True)), LimitExceeded)
    now = database_now()
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=now)
    for number in range(2):
        accepted(new_message(user, f"{number}", way="text", must_reach=True))
    assert isinstance(refused(new_message(user, "3", way="text", must_reach=True)), LimitExceeded)
    # WeChat counts the texts that are still to be sent in the new window.
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=now)
    assert user.chat_credits.get().used == 2
    # So is what went out while the person's word was on its way to us; what went before is not.
    for delivery, ago in zip(user.deliveries.all(), (1, 10), strict=True):
        delivery.state, delivery.ended_at = DeliveryState.SENT, now - dt.timedelta(seconds=ago)
        delivery.save()
    Channel.objects.update(last_sent_at=now - dt.timedelta(seconds=1))
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=now)
    assert user.chat_credits.get().used == 1
    accepted(new_message(user, "3", way="text", must_reach=True))


def test_auto_takes_the_template_when_no_text_is_left(settings: Any) -> None:
    settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = "T", "service"
    user = make_user()
    wechat(user)
    assert accepted(new_message(user, "1", way="auto")).deliveries.get().way == "template"
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=database_now())
    delivery = accepted(new_message(user, "2", way="auto")).deliveries.get()
    assert (delivery.way, [way for _channel, way in delivery.fallback]) == ("text", ["template"])


def test_what_is_refused_reserves_nothing(settings: Any) -> None:
    settings.TEMPLATES_A_DAY, settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = 5, "T", "service"
    user = make_user()
    a, b = wechat(user, "a"), wechat(user, "b")
    b.driver = "wechat"
    open_credit(owner_id=user.pk, account="wxapp", address="a", now=database_now())
    error = refused(new_message(user, way="text", channels=(a.pk, b.pk), must_reach=True))
    assert isinstance(error, LimitExceeded)
    settings.TEXTS_A_WINDOW = 20
    assert user.chat_credits.get(address="a").used == 0


def test_four_fifths_are_told_once(settings: Any) -> None:
    settings.TEMPLATES_A_DAY, settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = 10, "T", "service"
    user = make_user()
    wechat(user)
    for number in range(7):
        accepted(new_message(user, f"{number}", way="template"))
    assert Message.objects.filter(source="LetServer").count() == 0
    accepted(new_message(user, "8", way="template"))
    assert Message.objects.filter(source="LetServer").count() == 1


def test_a_channel_with_a_long_line_takes_no_more(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BACKLOG_LIMIT", 3)
    user = make_user()
    robot(user)
    for number in range(3):
        accepted(new_message(user, f"{number}", must_reach=True))
    assert isinstance(refused(new_message(user, "4", must_reach=True)), LimitExceeded)


def test_no_question_is_asked_that_needs_time_zones_of_the_database(settings: Any) -> None:
    settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = "T", "service"
    user = make_user()
    wechat(user)
    with connection.execute_wrapper(_refuse_zones):
        accepted(new_message(user, way="template"))


def _refuse_zones(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert "CONVERT_TZ" not in sql.upper()
    return execute(sql, params, many, context)
