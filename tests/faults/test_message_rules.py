"""Every rule about messages, seen to speak up once: stories made by hand, each wrong in one thing."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from kernel.clock import database_now
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.models import Channel, Delivery, DeliveryState, Message
from notifications.quota.chat_credit import open_credit
from tests.factories import make_user
from tests.faults import message_invariants
from tests.faults.message_invariants import Ledger, Sent, Story, check_messages, judge
from tests.faults.records import Line

_ROW = Sent(id="d1", message_id="m1", target="channel:c1", way="text", state="sent", has_end=True)
_QUOTA = Ledger(kind="wechat.template", owner="o1", used=1, limit=1)
_CREDIT = Ledger(kind="credit", owner="o1", used=20, limit=20)


def _line(t: float, do: str, **fields: Any) -> Line:
    return Line(t, do, "one.jsonl", {"t": t, "do": do} | fields)


def _message(t: float = 0, **fields: Any) -> Line:
    return _line(t, "message", **{"user": "u", "text": "hello", "status": 201, "id": "m1"} | fields)


def _taken(t: float = 1, **fields: Any) -> Line:
    return _line(t, "taken", **{"target": "phone", "text": "hello"} | fields)


def _story(*lines: Line, **more: Any) -> Story:
    values: dict[str, Any] = {"texts": {"m1": "hello"}, "outbox": (_ROW,), "ledgers": (_QUOTA, _CREDIT), "threads": 1}
    return Story(**values | more, lines=tuple(sorted(lines, key=lambda line: line.t)))


_KILL = _line(0.5, "kill")
_TWO_PHONES = [_taken(t, target=phone) for phone in ("phone", "desk") for t in (1, 2)]
_WRONG: dict[str, tuple[str, Story]] = {
    "I6 accepted and not stored": ("there is no such message", _story(_message(), texts={}, outbox=())),
    "I6 stored with other words": ("sent was 'hello'", _story(_message(), _taken(text="hi"), texts={"m1": "hi"})),
    "I6 accepted for nobody": ("has no row in the outbox", _story(_message(), outbox=())),
    "I6 two rows for one target": (
        "stands 2 times",
        _story(_message(), _taken(), outbox=(_ROW, replace(_ROW, id="d2"))),
    ),
    **{
        f"I6 {state} at rest": (f"is {state} at rest", _story(_message(), outbox=(replace(_ROW, state=state),)))
        for state in ("pending", "retry", "in_flight")
    },
    "I6 an end without its time": ("has no end", _story(_message(), _taken(), outbox=(replace(_ROW, has_end=False),))),
    "I6 sent and not there": ("no platform has 'hello'", _story(_message())),
    "I6 there and sent by nobody": ("which nobody sent", _story(_message(), _taken(), _taken(2, text="spam"))),
    "I6 twice without a kill": ("1 repeats at phone, after 0 kills", _story(_message(), _taken(), _taken(2))),
    "I6 more repeats than threads were killed": (
        "2 repeats, after 1 kills of 1 threads",
        _story(_message(), _KILL, *_TWO_PHONES),
    ),
    "I6 one channel repeats more than kills": (
        "2 repeats at phone, after 1 kills",
        _story(_message(), _KILL, _taken(), _taken(2), _taken(3), threads=16),
    ),
    "I7 a quota is passed": (
        "wechat.template of o1: 2 used of 1",
        _story(ledgers=(replace(_QUOTA, used=2),), outbox=()),
    ),
    "I7 a credit is passed": ("credit of o1: 21 used of 20", _story(ledgers=(replace(_CREDIT, used=21),), outbox=())),
    "I7 the platform counted more": (
        "20 in the ledger, 21 at the platform",
        _story(_line(9, "counted", ledger="credit", owner="o1", number=21), outbox=()),
    ),
    "I7 the ledger knows nothing of it": (
        "0 in the ledger, 1 at the platform",
        _story(_line(9, "counted", ledger="credit", owner="o2", number=1), outbox=()),
    ),
    "I7 refused for its count": (
        "phone refused 'hello'",
        _story(_message(), _line(1, "over", target="phone", text="hello"), outbox=(replace(_ROW, state="dead"),)),
    ),
}
"""By what is wrong, which begins with the invariant: words of the violation, and the story."""

_RIGHT: dict[str, Story] = {
    "sent once": _story(_message(), _taken(), _line(9, "counted", ledger="credit", owner="o1", number=20)),
    "accepted at the second try": _story(_message(status=None, id=None), _message(1), _taken(2)),
    "refused": _story(_message(status=429, id=None), texts={}, outbox=()),
    "given up, and taken back": _story(
        _message(), outbox=(replace(_ROW, state="dead"), replace(_ROW, id="d2", way="template", state="withdrawn"))
    ),
    "repeated by a kill": _story(_message(), _KILL, _taken(), _taken(2)),
    "repeated on each channel by a kill of many threads": _story(_message(), _KILL, *_TWO_PHONES, threads=16),
    "refused for its count, and there already": _story(
        _message(), _KILL, _taken(), _line(2, "over", target="phone", text="hello")
    ),
}


@pytest.mark.parametrize("what", _WRONG)
def test_what_is_wrong_is_said(what: str) -> None:
    words, story = _WRONG[what]
    found = judge(story)
    assert [one for one in found if one.invariant == what.split()[0] and words in one.text], list(map(str, found))


@pytest.mark.parametrize("what", _RIGHT)
def test_nothing_is_said_of_what_is_right(what: str) -> None:
    assert list(map(str, judge(_RIGHT[what]))) == []


def test_every_place_that_speaks_up_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    speakers = ("_i6", "_i7")
    tree = ast.parse(Path(message_invariants.__file__).read_text(encoding="utf-8"))
    there = {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in speakers
    }
    seen = set()
    for name in speakers:
        speak = getattr(message_invariants, name)

        def note(text: str, speak: Any = speak) -> Any:
            seen.add(sys._getframe(1).f_lineno)
            return speak(text)

        monkeypatch.setattr(message_invariants, name, note)
    for _words, story in _WRONG.values():
        judge(story)
    assert len(there) > 10
    assert there - seen == set()


def test_the_judge_knows_nothing_of_the_product() -> None:
    tree = ast.parse(Path(message_invariants.__file__).read_text(encoding="utf-8"))
    imported = {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert imported <= {"__future__", "collections", "dataclasses", "pathlib", "tests"}


@pytest.mark.django_db
def test_the_rows_of_the_product_are_read(tmp_path: Path) -> None:
    user, now = make_user(), database_now()
    Channel.objects.create(
        owner=user, name="wechat", driver="wechat", account="app", address="openid", levels=["info"], created_at=now,
        changed_at=now,
    )  # fmt: skip
    open_credit(owner_id=user.pk, account="app", address="openid", now=now)
    (message,) = accept_messages([NewMessage(owner_id=user.pk, text="hello", way="text")])
    assert isinstance(message, Message)
    (tmp_path / "messages-1.jsonl").write_text(json.dumps(_message(id=message.pk).fields) + "\n", encoding="utf-8")
    (violation,) = check_messages(tmp_path, connection, threads=1)
    assert str(violation).startswith("I6 -: row ")
    assert "is pending at rest" in str(violation)
    Delivery.objects.update(state=DeliveryState.SENT, ended_at=now)
    (tmp_path / "platforms.jsonl").write_text(
        json.dumps(_taken().fields)
        + "\n"
        + json.dumps(_line(2, "counted", ledger="credit", owner=user.pk, number=2).fields)
        + "\n",
        encoding="utf-8",
    )
    (violation,) = check_messages(tmp_path, connection, threads=1)
    assert str(violation) == f"I7 -: credit of {user.pk}: 1 in the ledger, 2 at the platform"
