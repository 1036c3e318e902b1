"""Every rule about messages reports at least one violation: cases made by hand, each with one defect."""

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
from tests.faults.message_invariants import Ledger, MessageCase, Sent, check_messages, find_violations
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


def _case(*lines: Line, **more: Any) -> MessageCase:
    values: dict[str, Any] = {"texts": {"m1": "hello"}, "outbox": (_ROW,), "ledgers": (_QUOTA, _CREDIT), "threads": 1}
    return MessageCase(**values | more, lines=tuple(sorted(lines, key=lambda line: line.t)))


_KILL = _line(0.5, "kill")
_TWO_PHONES = [_taken(t, target=phone) for phone in ("phone", "desk") for t in (1, 2)]
_WRONG: dict[str, tuple[str, MessageCase]] = {
    "I6 accepted and not stored": ("there is no such message", _case(_message(), texts={}, outbox=())),
    "I6 stored with other words": ("sent was 'hello'", _case(_message(), _taken(text="hi"), texts={"m1": "hi"})),
    "I6 accepted without a target": ("has no row in the outbox", _case(_message(), outbox=())),
    "I6 two rows for one target": (
        "is 2 times",
        _case(_message(), _taken(), outbox=(_ROW, replace(_ROW, id="d2"))),
    ),
    **{
        f"I6 {state} at rest": (f"is {state} at rest", _case(_message(), outbox=(replace(_ROW, state=state),)))
        for state in ("pending", "retry", "in_flight")
    },
    "I6 an end without its time": ("has no end", _case(_message(), _taken(), outbox=(replace(_ROW, has_end=False),))),
    "I6 sent and not there": ("no platform has 'hello'", _case(_message())),
    "I6 there and never sent": ("which was never sent", _case(_message(), _taken(), _taken(2, text="spam"))),
    "I6 twice without a kill": ("1 repeats at phone, after 0 kills", _case(_message(), _taken(), _taken(2))),
    "I6 more repeats than threads were killed": (
        "2 repeats, after 1 kills of 1 threads",
        _case(_message(), _KILL, *_TWO_PHONES),
    ),
    "I6 one channel repeats more than kills": (
        "2 repeats at phone, after 1 kills",
        _case(_message(), _KILL, _taken(), _taken(2), _taken(3), threads=16),
    ),
    "I7 a quota is passed": (
        "wechat.template of o1: 2 used of 1",
        _case(ledgers=(replace(_QUOTA, used=2),), outbox=()),
    ),
    "I7 a credit is passed": ("credit of o1: 21 used of 20", _case(ledgers=(replace(_CREDIT, used=21),), outbox=())),
    "I7 the platform counted more": (
        "20 in the ledger, 21 at the platform",
        _case(_line(9, "counted", ledger="credit", owner="o1", number=21), outbox=()),
    ),
    "I7 the ledger knows nothing of it": (
        "0 in the ledger, 1 at the platform",
        _case(_line(9, "counted", ledger="credit", owner="o2", number=1), outbox=()),
    ),
    "I7 refused for its count": (
        "phone refused 'hello'",
        _case(_message(), _line(1, "over", target="phone", text="hello"), outbox=(replace(_ROW, state="dead"),)),
    ),
}
"""Part of the violation's text and the case, by a description that starts with the invariant."""

_RIGHT: dict[str, MessageCase] = {
    "sent once": _case(_message(), _taken(), _line(9, "counted", ledger="credit", owner="o1", number=20)),
    "accepted at the second try": _case(_message(status=None, id=None), _message(1), _taken(2)),
    "refused": _case(_message(status=429, id=None), texts={}, outbox=()),
    "given up, and taken back": _case(
        _message(), outbox=(replace(_ROW, state="dead"), replace(_ROW, id="d2", way="template", state="withdrawn"))
    ),
    "repeated by a kill": _case(_message(), _KILL, _taken(), _taken(2)),
    "repeated on each channel by a kill of many threads": _case(_message(), _KILL, *_TWO_PHONES, threads=16),
    "refused for its count, and there already": _case(
        _message(), _KILL, _taken(), _line(2, "over", target="phone", text="hello")
    ),
}


@pytest.mark.parametrize("what", _WRONG)
def test_each_defect_is_reported(what: str) -> None:
    words, case = _WRONG[what]
    found = find_violations(case)
    assert [one for one in found if one.invariant == what.split()[0] and words in one.text], list(map(str, found))


@pytest.mark.parametrize("what", _RIGHT)
def test_a_correct_case_has_no_violation(what: str) -> None:
    assert list(map(str, find_violations(_RIGHT[what]))) == []


def test_every_violation_of_the_rules_is_provoked(monkeypatch: pytest.MonkeyPatch) -> None:
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
    for _words, case in _WRONG.values():
        find_violations(case)
    assert len(there) > 10
    assert there - seen == set()


def test_the_message_rules_do_not_import_the_product() -> None:
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
