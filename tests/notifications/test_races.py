"""Thirty-two at once: no limit is passed, no key makes two, nothing is sent by two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import QuotaUse, User
from kernel.clock import database_now
from kernel.errors import LimitExceeded, Unavailable
from kernel.transactions import run_one
from notifications.deliveries.claim import claim_next
from notifications.drivers.base import Rate
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, ChatCredit, Delivery, Level, Message
from notifications.quota.chat_credit import open_credit
from notifications.quota.pace import take_turn
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)

_THREADS = 32


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Start 32 threads with their own connections together; return their results."""
    barrier = Barrier(_THREADS)

    def run(number: int) -> Any:
        try:
            barrier.wait(30)
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(run, range(_THREADS)))


def wechat(user: User) -> Channel:
    now = database_now()
    open_credit(owner_id=user.pk, account="app", address="me", now=now)
    return Channel.objects.create(
        owner=user, name="wechat", driver="wechat", account="app", address="me", levels=list(Level.values),
        created_at=now, changed_at=now,
    )  # fmt: skip


def accept(user: User, way: str, **more: Any) -> Callable[[int], str]:
    """Send until the message is stored or refused; retry after a lock timeout."""

    def work(number: int) -> str:
        new_message = NewMessage(owner_id=user.pk, text=f"{number}", way=way, must_reach=True, **more)
        while True:
            try:
                return str(run_one(accept_messages, new_message).pk)
            except LimitExceeded:
                return ""
            except Unavailable:
                continue

    return work


@pytest.mark.parametrize("way", ["template", "text"])
def test_a_limit_is_reached_and_never_passed(way: str, settings: Any) -> None:
    settings.TEMPLATES_A_DAY = settings.TEXTS_A_WINDOW = 20
    settings.WECHAT_TEMPLATE_INFO, settings.WECHAT_KIND = "T", "service"
    user = make_user()
    wechat(user)
    found = at_once(accept(user, way))
    assert sum(map(bool, found)) == 20
    row = QuotaUse.objects.get() if way == "template" else ChatCredit.objects.get()
    assert (row.used, row.limit) == (20, 20)
    assert Delivery.objects.filter(message__source="").count() == 20


def test_one_key_makes_one_message(settings: Any) -> None:
    user = make_user()
    wechat(user)

    def work(_number: int) -> str:
        new_message = NewMessage(owner_id=user.pk, text="same", way="text", idempotency_key="k")
        while True:
            try:
                return str(run_one(accept_messages, new_message).pk)
            except Unavailable:
                continue

    assert len(set(at_once(work))) == 1
    assert Message.objects.count() == Delivery.objects.count() == 1
    assert ChatCredit.objects.get().used == 1


def test_a_robot_takes_as_many_turns_as_it_has() -> None:
    rates = (Rate(number=20, seconds=60), Rate(number=25, seconds=600))
    now = database_now()

    def work(_number: int) -> bool:
        with transaction.atomic():
            return take_turn("robot:x", rates, now=now) is None

    assert sum(at_once(work)) == 20


def test_one_sender_has_it() -> None:
    user = make_user()
    wechat(user)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="x", way="text")])
    assert isinstance(message, Message)
    delivery_id = message.deliveries.get().pk
    assert sum(claimed is not None for claimed in at_once(lambda _number: claim_next(delivery_id))) == 1
