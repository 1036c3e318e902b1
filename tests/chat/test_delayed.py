"""`delay`: a job for later, said in a chat."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from accounts.models import User
from jobs.delayed.release import release_delayed
from jobs.life.ticker import guard
from jobs.models import DelayedJob, DelayedState, Job
from kernel.clock import database_now
from tests.chat.conftest import Say
from tests.factories import make_agent

pytestmark = pytest.mark.django_db


def _number(text: str) -> str:
    found = re.search(r"#([0-9a-f]{6})", text)
    assert found is not None, text
    return found[1]


@pytest.mark.parametrize(
    "line", ["delay 15d 店铺 订单完成 123", "延迟 15天 店铺 订单完成 123", "DELAY １５Ｄ 店铺 订单完成 123"]
)
def test_an_order_is_closed_in_fifteen_days(line: str, alice: User, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(owner=alice, name="店铺", online=False)
    reply = say(line)
    row = DelayedJob.objects.get()
    assert _number(reply) == row.pk[-6:]
    assert "店铺" in reply
    assert (row.agent, row.message, row.due_at - row.created_at) == (agent, "订单完成 123", dt.timedelta(days=15))
    assert row.pk[-6:] in say("delay list")
    monkeypatch.setattr(guard, "believes", lambda _now: True)
    release_delayed(now=row.due_at)
    job = Job.objects.get()
    assert (job.message, job.source) == ("订单完成 123", row.source)
    assert job.source.startswith("chat:")
    assert row.pk[-6:] not in say("延迟 列表")


@pytest.mark.parametrize("phrase", ["delay del", "延迟 删除", "delay cancel"])
def test_one_is_taken_back_by_its_number(phrase: str, alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    number = _number(say("delay 2h nas date"))
    assert number in say(f"{phrase} #{number}")
    assert DelayedJob.objects.get().state == DelayedState.CANCELED
    assert number not in say(f"{phrase} {number}")


def test_what_is_wrong_is_said_and_nothing_is_kept(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    wrong = ("delay", "delay 15d", "delay 15d nas", "delay soon nas date", "delay 401d nas date", "delay 0s nas date",
             "delay 15d nobody date", "delay del 123", "delay 15d nas " + "x" * 5000)  # fmt: skip
    answers = [say(line) for line in wrong]
    assert all(answers), answers
    assert "delay HOW LONG" in answers[0] or "HOW LONG" in answers[0]
    assert not DelayedJob.objects.exists()


def test_the_list_is_short(alice: User, say: Say) -> None:
    make_agent(owner=alice, name="nas")
    assert "15d" in say("delay list")
    for _ in range(12):
        say("delay 1h nas date")
    assert len(say("delay list").split("\n")) == 11
    assert DelayedJob.objects.filter(due_at__gt=database_now()).count() == 12
