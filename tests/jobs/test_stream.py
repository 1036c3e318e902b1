"""The stream has every event of its owner once, also one that commits after a younger one."""

from __future__ import annotations

import datetime as dt

import pytest

from accounts.models import User
from jobs.life.report import ReportKind
from jobs.models import JobEvent
from jobs.stream import service as stream
from jobs.stream.service import Cursor, StreamPage, read_page, start_now
from kernel.clock import database_now
from kernel.ids import lowest_id
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Message
from tests.factories import claim, make_agent, make_job, make_user, report

pytestmark = pytest.mark.django_db


def say(user: User, text: str) -> Message:
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text=text)])
    assert isinstance(message, Message)
    return message


def told(news: StreamPage) -> list[str]:
    return [item.text if isinstance(item, Message) else str(item.after) for item in news.items]


def again(user: User, news: StreamPage, seconds: float = 0) -> StreamPage:
    """Read the next page with the cursor of the last one, `seconds` later."""
    cursor = Cursor.read(news.cursor.write())
    assert cursor == news.cursor
    return read_page(owner_id=user.pk, since=cursor, now=database_now() + dt.timedelta(seconds=seconds))


def test_moves_and_messages_of_the_owner_come_once_in_their_order() -> None:
    user, other = make_user(), make_user()
    agent = make_agent(owner=user)
    say(user, "before")
    begun = start_now(owner_id=user.pk)
    job = make_job(agent)
    say(other, "not yours")
    make_job(make_agent(owner=other))
    say(user, "between")
    claim(agent)
    report(agent, job, ReportKind.SUCCEED, "ok")
    news = read_page(owner_id=user.pk, since=begun)
    assert told(news) == ["queuing", "between", "sent", "succeeded"]
    assert [item.number for item in news.items if isinstance(item, JobEvent)] == [1, 2, 3]
    assert again(user, news).items == []
    assert again(user, news, 60).items == []


def test_a_late_commit_is_not_skipped() -> None:
    user = make_user()
    begun = start_now(owner_id=user.pk)
    late = say(user, "late")
    # Hide it, as if its transaction were not committed yet.
    Message.objects.filter(pk=late.pk).update(owner=make_user())
    say(user, "early")
    news = read_page(owner_id=user.pk, since=begun)
    assert told(news) == ["early"]
    Message.objects.filter(pk=late.pk).update(owner=user)
    news = again(user, news, stream.LATE.total_seconds() - 2)
    assert told(news) == ["late"]
    assert again(user, news).items == []


def test_an_old_cursor_is_led_through_everything_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PAGE", 3)
    monkeypatch.setattr(stream, "SCAN_LIMIT", 4)
    monkeypatch.setattr(stream, "MARKS_LIMIT", 5)
    user, other = make_user(), make_user()
    agent, foreign = make_agent(owner=user), make_agent(owner=other)
    cursor = Cursor(low=lowest_id(database_now() - dt.timedelta(days=1)))
    wanted = []
    for number in range(8):
        make_job(foreign)
        wanted += ["queuing", f"{number}"]
        make_job(agent)
        say(user, f"{number}")
    for seconds in (0, 60):
        found, news = [], StreamPage(items=[], cursor=cursor)
        for _look in range(20):
            news = again(user, news, seconds)
            assert len(news.items) <= 3
            assert len(news.cursor.returned) <= 5
            found += told(news)
        assert found == wanted


@pytest.mark.parametrize("text", ["", "x", "!", "A" * 21, "A" * 23, "é", "A" * 5000, "AAAA AAAA"])
def test_an_invalid_cursor_is_not_read(text: str) -> None:
    assert Cursor.read(text) is None
