"""Deliveries that wait for a robot's pace or for the person to write, and withdrawals while one is in flight."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from notifications.channels.service import create_channel, delete_channel
from notifications.deliveries.claim import claim_next
from notifications.deliveries.finish import finish_delivery
from notifications.deliveries.replay import replay_delivery
from notifications.drivers.base import ChannelError, Fault, Receipt
from notifications.messages.read import withdraw_message
from notifications.models import Delivery, DeliveryState, Level, Message
from notifications.quota.chat_credit import open_credit
from tests.factories import make_user
from tests.notifications.test_reservations import accepted, claimed, fresh, heir_of, make_channel, noon

pytestmark = pytest.mark.django_db

_MINUTE = dt.timedelta(minutes=1)


def _write(user: User, now: dt.datetime) -> None:
    """The person writes to the account."""
    open_credit(owner_id=user.pk, account="wxapp", address="openid-1", now=now)


def test_what_a_slow_service_held_back_goes_in_the_order_in_which_it_was_accepted() -> None:
    user, now, said = make_user(), noon(), []
    create_channel(
        owner_id=user.pk, name="push", driver="pushplus", settings={"token": "a" * 32}, levels=Level.values,
        actor="test",
    )  # fmt: skip
    rows = [accepted(user, f"{number}", now=now).pk for number in range(14)]
    statements = []
    for minutes in range(3):
        # Bells come in any order, and all waiting deliveries are rung at once.
        bells = random.Random(minutes).sample(rows, len(rows))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            for bell in bells:
                found = claim_next(bell, now=now + minutes * _MINUTE * 1.1)
                if found is not None:
                    said.append(found.delivery.pk)
                    finish_delivery(found, Receipt(), now=now + minutes * _MINUTE * 1.1)
        statements.append(sum('UPDATE "notifications_delivery"' in one["sql"].replace("`", '"') for one in queries))
    assert said == rows
    # Five are claimed and finished; the sixth is postponed, and with it every one behind it.
    assert statements == [12, 12, 8]


def test_a_text_that_has_no_room_waits_for_the_persons_word(settings: object) -> None:
    settings.TEXTS_A_WINDOW = 2  # type: ignore[attr-defined]
    user, now = make_user(), noon()
    make_channel(user)
    _write(user, now)
    sent = [accepted(user, f"{number}", way="text", now=now) for number in range(4)]
    for delivery in sent[:2]:
        finish_delivery(claimed(delivery, now), Receipt(), now=now)
    for delivery in sent[2:]:
        assert claim_next(delivery.pk, now=now + _MINUTE) is None
        waits = fresh(delivery)
        assert (waits.state, waits.fault, waits.due_at) == ("pending", "window", now + dt.timedelta(hours=48))
    then = now + dt.timedelta(hours=5)
    _write(user, then)
    # One goes and leaves room for what the person begins; the other waits for the next word.
    finish_delivery(claimed(sent[2], then), Receipt(), now=then)
    assert claim_next(sent[3].pk, now=then) is None
    assert [fresh(one).state for one in sent] == ["sent", "sent", "sent", "pending"]
    _write(user, then + _MINUTE)
    finish_delivery(claimed(sent[3], then + _MINUTE), Receipt(), now=then)
    assert fresh(sent[3]).state == DeliveryState.SENT


def test_a_text_that_is_refused_waits_for_two_days_and_no_longer() -> None:
    user, now = make_user(), noon()
    make_channel(user)
    for code, fault in (("45047", Fault.QUOTA), ("45015", Fault.WINDOW)):
        _write(user, now)
        delivery = accepted(user, code, way="text", now=now)
        finish_delivery(claimed(delivery, now), ChannelError(fault, code), now=now)
        assert fresh(delivery).state == DeliveryState.RETRY, code
        assert claim_next(delivery.pk, now=now + 2 * _MINUTE) is None
        assert (fresh(delivery).state, fresh(delivery).fault) == (DeliveryState.RETRY, "window"), code
        assert claim_next(delivery.pk, now=now + dt.timedelta(hours=48)) is None
        assert (fresh(delivery).state, fresh(delivery).fault) == (DeliveryState.DEAD, "window"), code


def test_a_text_whose_room_was_spent_meanwhile_goes_as_a_template_where_it_may(settings: object) -> None:
    settings.TEXTS_A_WINDOW, settings.TEMPLATES_A_DAY = 1, 0  # type: ignore[attr-defined]
    user, now = make_user(), noon()
    make_channel(user)
    delivery = accepted(user, way="auto", now=now)
    assert delivery.way == "text"
    settings.TEMPLATES_A_DAY = 100  # type: ignore[attr-defined]
    assert claim_next(delivery.pk, now=now + _MINUTE) is None
    heir = heir_of(delivery)
    assert (heir.way, heir.due_at) == ("template", now + _MINUTE)
    assert claimed(heir, now + _MINUTE).delivery == heir


def test_what_is_taken_back_on_its_way_is_not_tried_again() -> None:
    outcomes = {
        "sent": Receipt(),
        "not heard": ChannelError(Fault.RETRY, "timeout", unheard=True),
        "busy": ChannelError(Fault.RETRY, "http 503"),
        "refused": ChannelError(Fault.PERMANENT, "45002"),
        "full": ChannelError(Fault.QUOTA, "45009"),
    }
    now = noon()
    for name, outcome in outcomes.items():
        user = make_user(name.replace(" ", ""))
        make_channel(user, name)
        make_channel(user, f"{name} too", position=1)
        delivery = accepted(user, way="template", now=now)
        on_its_way = claimed(delivery, now)
        withdraw_message(viewer=user, message_id=str(delivery.message_id))
        assert fresh(delivery).state == DeliveryState.IN_FLIGHT, name
        finish_delivery(on_its_way, outcome, now=now)
        assert fresh(delivery).state == (DeliveryState.SENT if name == "sent" else DeliveryState.WITHDRAWN), name
        assert Delivery.objects.filter(message=delivery.message).count() == 1, name
        assert claim_next(delivery.pk, now=now + dt.timedelta(hours=30)) is None, name
        assert Message.objects.get(pk=delivery.message_id).withdrawn_at is not None, name


def test_what_is_taken_back_from_a_sender_that_died_is_over_and_stays_so() -> None:
    user, now = make_user(), noon()
    make_channel(user)
    delivery = accepted(user, way="template", now=now)
    claimed(delivery, now)
    withdraw_message(viewer=user, message_id=str(delivery.message_id))
    assert claim_next(delivery.pk, now=now + 2 * _MINUTE) is None
    assert fresh(delivery).state == DeliveryState.WITHDRAWN
    Delivery.objects.update(state=DeliveryState.DEAD)
    assert not replay_delivery(fresh(delivery))


def test_a_message_for_later_that_is_handed_on_still_goes_later() -> None:
    user, now = make_user(), noon()
    channel = make_channel(user)
    make_channel(user, "openid-2", position=1)
    later = now + dt.timedelta(hours=3)
    delivery = accepted(user, way="template", not_before=later, now=now)
    delete_channel(channel=channel, actor="test")
    assert claim_next(delivery.pk, now=now) is None
    assert heir_of(delivery).due_at == later
