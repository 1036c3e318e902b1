"""The outcome of a job is reported once, in the chat that it came from."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from accounts.models import ChatIdentity, User
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.offline import mark_silent_agents
from jobs.life.report import ReportKind
from kernel.clock import database_now
from notifications.models import Channel, Delivery, DeliveryState, Level, Message
from notifications.quota.chat_credit import open_credit
from tests.factories import claim, gateway_alive, make_agent, make_job, make_user, report

pytestmark = pytest.mark.django_db


def place(user: User, address: str) -> ChatIdentity:
    """A follower of the account, with the channel that following creates."""
    now = database_now()
    Channel.objects.create(
        owner=user, name=address, driver="wechat", account="app", address=address, levels=list(Level.values),
        created_at=now, changed_at=now, position=Channel.objects.count(),
    )  # fmt: skip
    open_credit(owner_id=user.pk, account="app", address=address, now=now)
    return ChatIdentity.objects.create(owner=user, platform="wechat", account="app", external_id=address, bound_at=now)


def told(user: User) -> list[str]:
    return list(Message.objects.filter(owner=user).order_by("pk").values_list("text", flat=True))


def test_an_end_is_one_message_where_the_job_came_from(settings: Any) -> None:
    user = make_user()
    place(user, "first")
    here = place(user, "second")
    agent = make_agent(owner=user)
    job = make_job(agent, source=f"chat:{here.pk}")
    assert claim(agent) == job
    report(agent, job, ReportKind.SUCCEED, "Sat Nov 21")
    message = Message.objects.get(owner=user, agent_id=agent.pk)
    assert message.text.startswith("🟩")
    assert message.text.endswith("\nSat Nov 21")
    delivery = message.deliveries.get()
    assert delivery.channel is not None
    assert (delivery.channel.address, delivery.way) == ("second", "text")


@pytest.mark.parametrize(("callback", "count"), [("", 1), ("disable", 0), ("https://hooks.example/", 0)])
def test_a_callback_or_disable_keeps_the_chat_quiet(callback: str, count: int) -> None:
    user = make_user()
    place(user, "me")
    agent = make_agent(owner=user)
    before = len(told(user))
    job = make_job(agent, callback=callback)
    claim(agent)
    report(agent, job, ReportKind.FAIL, "no")
    assert len(told(user)) - before == count


def test_nobody_is_written_for_who_has_no_channel() -> None:
    agent = make_agent()
    job = make_job(agent)
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "x")
    assert Message.objects.count() == 0


def test_what_a_running_job_says_is_held_and_replaced_by_what_it_says_next() -> None:
    user = make_user()
    place(user, "me")
    agent = make_agent(owner=user)
    job = make_job(agent)
    claim(agent)
    for number in range(3):
        report(agent, job, ReportKind.RUNNING, f"{number} of 3")
    report(agent, job, ReportKind.SUCCEED, "done")
    rows = Delivery.objects.filter(message__agent_id=agent.pk).order_by("pk")
    assert [row.state for row in rows] == [DeliveryState.WITHDRAWN] * 3 + [DeliveryState.PENDING]
    assert rows[3].message is not None
    assert rows[3].message.text.endswith("done")


def test_a_long_output_keeps_its_beginning_and_its_end() -> None:
    user = make_user()
    place(user, "me")
    agent = make_agent(owner=user)
    job = make_job(agent)
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "开" * 400 + "x" * 2000 + "终" * 700)
    text = Message.objects.get(agent_id=agent.pk).text
    assert text.count("开") == 300
    assert text.count("终") == 700
    assert "x" not in text.split("\n", 1)[1].replace("bytes", "")


def test_agents_that_come_and_go_are_told_once_a_person(settings: Any) -> None:
    user = make_user()
    place(user, "me")
    one, two = (make_agent(owner=user, name=name, online=False) for name in ("one", "two"))
    now = database_now()
    touch_agents([AgentTouch(agent_id=agent.pk, ip=None, version="") for agent in (one, two)], now=now)
    touch_agents([AgentTouch(agent_id=one.pk, ip=None, version="")], now=now)
    later = now + dt.timedelta(seconds=settings.OFFLINE_SECONDS + 10)
    gateway_alive(now=later)
    assert mark_silent_agents(now=later) == 2
    assert [text[0] for text in told(user)] == ["🟩", "🟥"]
    assert all("one, two" in text for text in told(user))
