"""Every rule of the checker reports at least one violation: cases made by hand, each with one defect."""

from __future__ import annotations

import ast
import datetime as dt
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import end_rules, invariants, once_rules, order_rules
from tests.faults.case import Case, Limits, Violation
from tests.faults.records import Agent, Delayed, Event, Line, Records, Row, read_records

_RULE_FILES = (invariants, end_rules, order_rules, once_rules)
_START = dt.datetime(2026, 1, 1)  # noqa: DTZ001  # As databases return it.
_LEASE = 6.0
_WEEK = 7 * 86_400.0
_A1, _A2 = "agent:a1", "agent:a2"


def _at(seconds: float) -> dt.datetime:
    return _START + dt.timedelta(seconds=seconds)


def _job(*story: tuple[float, str] | tuple[float, str, str], job_id: str = "j1", due: float = 0, **more: Any) -> Row:
    """Build a job from its events: (second, status after it, actor if not its agent or a sweep)."""
    events = []
    before = ""
    for number, (second, after, *by) in enumerate(story, 1):
        by_agent = after in ("sent", "running", "succeeded", "failed")
        actor = by[0] if by else _A1 if by_agent else "sweep" if before else "user:o1"
        events.append(Event(number=number, at=_at(second), before=before, after=after, actor=actor))
        before = after
    row = Row(
        id=job_id,
        owner_id="o1",
        agent_id="a1",
        queue_id=None,
        message="date",
        status=before,
        late=False,
        root_id=job_id,
        attempt=1,
        protocol=1,
        active_at=_at(due),
        expires_at=None,
        lease_until=None,
        result=None,
        events=tuple(events),
    )
    return replace(row, **more)


def _line(t: float, do: str, **fields: Any) -> Line:
    return Line(t, do, "old-1.jsonl", {"t": t, "do": do, "agent": "a1", "id": "j1"} | fields)


def _submit(**fields: Any) -> Line:
    return _line(0, "submit", **{"key": "k1", "message": "date", "status": 201} | fields)


def _report(t: float, kind: str, status: int | None = 204, text: str = "ok", **fields: Any) -> Line:
    return _line(t, "report", kind=kind, status=status, text=text, **fields)


def _delayed(state: str = "fired", *, due: float = 0, fired: float | None = None, **more: Any) -> Delayed:
    fired_at = None if fired is None else _at(fired)
    return replace(Delayed(id="d1", message="date", state=state, due_at=_at(due), fired_at=fired_at), **more)


def _case(
    rows: list[Row],
    *lines: Line,
    windows: tuple[tuple[float, float], ...] = (),
    now: float = 9e6,
    delayed: tuple[Delayed, ...] = (),
    **limits: Any,
) -> Case:
    """Build a case whose log clock and database clock agree."""
    by_do: defaultdict[str, list[Line]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.t):
        by_do[line.do].append(line)
    agents = {
        "a1": Agent(id="a1", owner_id="o1", name="one"),
        "a2": Agent(id="a2", owner_id="o1", name="two"),
        "a9": Agent(id="a9", owner_id="o9", name="strange"),
    }
    records = Records(
        jobs={row.id: row for row in rows},
        agents=agents,
        widths={"q1": 2},
        delayed={row.id: row for row in delayed},
        windows=windows,
        by_do=dict(by_do),
    )
    return Case(records=records, limits=Limits(**{"lease": _LEASE} | limits), now=_at(now), clock=now)


_NEW, _TAKEN, _RUNS = (0, "queuing"), (1, "sent"), (2, "running")
_LIFE = (_NEW, _TAKEN, _RUNS, (3, "succeeded"))
_LATE_LIFE = (_NEW, _TAKEN, (8, "expired"), (20, "succeeded"))
_DONE = _job(*_LIFE, result="ok")
_DONE_LATER = _job(*_LIFE, result="ok", parent_id="d1")
_LOST = _job(_NEW, _TAKEN, (8, "expired"))
_SECOND_TRY = {"job_id": "j2", "root_id": "j1", "attempt": 2, "result": "ok"}
_QUEUED = {"queue_id": "q1", "result": "ok"}


def _numbered(row: Row, at: int, **change: Any) -> Row:
    events = [replace(event, **change) if index == at else event for index, event in enumerate(row.events)]
    return replace(row, events=tuple(events))


_WRONG: dict[str, tuple[str, Case]] = {
    # I1
    "I1 answered 201 without an id": ("without an id", _case([_DONE], _submit(id=None))),
    "I1 an accepted job is not there": ("there is no such job", _case([], _submit())),
    "I1 it says something else": ("submitted was", _case([_DONE], _submit(message="uptime"))),
    "I1 two ids for one key": (
        "was answered with 2 ids",
        _case([_DONE, _job(*_LIFE, job_id="j2", result="ok")], _submit(), _submit(id="j2")),
    ),
    "I1 one job for two keys": ("2 submissions were answered", _case([_DONE], _submit(), _submit(key="k2"))),
    "I1 a second job whose answer was lost": (
        "2 jobs say 'date' to a1",
        _case([_DONE, _job(*_LIFE, job_id="j2", result="ok")], _submit(), _submit(status=503, id=None)),
    ),
    "I1 read and gone": ("was read, and there is no such job", _case([], _line(5, "read", status="running"))),
    # I2: the events of the row
    "I2 an end after the end": ("the first end is final", _case([_job(*_LIFE, (4, "failed"))])),
    "I2 canceled and yet expired": (
        "the first end is final",
        _case([_job(_NEW, (1, "canceled"), (2, "expired"))]),
    ),
    "I2 a late result of a job that no agent had": (
        "a late result of a job that no agent had",
        _case([_job(_NEW, (8, "expired"), (9, "succeeded"), late=True)]),
    ),
    "I2 a late result after more than seven days": (
        "later than seven days",
        _case([_job(_NEW, _TAKEN, (8, "expired"), (8 + _WEEK + 1, "failed"), late=True)]),
    ),
    "I2 two late results": (
        "2 late results",
        _case([_numbered(_job(*_LATE_LIFE, (21, "failed"), late=True), 4, before="expired")]),
    ),
    "I2 late and not marked": ("marked late: False", _case([_job(*_LATE_LIFE)])),
    "I2 marked late and in time": ("marked late: True", _case([_job(*_LIFE, late=True)])),
    "I2 no end": ("is running and has no end", _case([_job(_NEW, _TAKEN, _RUNS)])),
    "I2 a lease that is not ended": (
        "is sent, 10.0 s after its deadline",
        _case([_job(_NEW, _TAKEN, lease_until=_at(7))], now=17, at_rest=False),
    ),
    "I2 a wait that is not ended": (
        "is queuing, 10.0 s after its deadline",
        _case([_job(_NEW, expires_at=_at(7))], now=17, at_rest=False),
    ),
    "I2 a wait that ends ten seconds late": (
        "waited 10.0 s longer than it may",
        _case([_job(_NEW, (70, "expired"), expires_at=_at(60))]),
    ),
    "I2 expired within the lease": (
        "the lease was not over",
        _case([_job(_NEW, _TAKEN, (5, "running"), (8, "expired"))]),
    ),
    "I2 expired ten seconds late": (
        "was sent for 16.0 s without a sign",
        _case([_job(_NEW, _TAKEN, (1 + _LEASE + 10, "expired"))]),
    ),
    "I2 expired late although the outage was long before": (
        "was sent for 16.0 s without a sign",
        _case([_job(_NEW, (100, "sent"), (100 + _LEASE + 10, "expired"))], windows=((10, 60),)),
    ),
    # I2, in the reports and reads of clients
    "I2 a report taken of no job": (
        "succeed was answered 204, and there is no such job",
        _case([], _report(3, "succeed")),
    ),
    "I2 progress taken and not written": (
        "left no trace",
        _case([_job(_NEW, _TAKEN, (3, "failed"), result="ok")], _report(2, "running"), _report(3, "fail")),
    ),
    "I2 two outcomes taken": (
        "different outcomes were taken: failed, succeeded",
        _case([_DONE], _report(3, "succeed"), _report(4, "fail")),
    ),
    "I2 taken and not in the row": ("succeeded 'ok' was acknowledged", _case([_LOST], _report(3, "succeed"))),
    "I2 the row has the text of the second report": (
        "succeeded 'first' was acknowledged to the agent; the row says succeeded 'second'",
        _case(
            [_job(*_LIFE, result="second")], _report(3, "succeed", text="first"), _report(4, "succeed", text="second")
        ),
    ),
    "I2 a late result dropped": (
        "was answered 400, and the job is still expired",
        _case([_LOST], _report(20, "succeed", 400)),
    ),
    "I2 an end that was never reported": (
        "which its agent never reported",
        _case([_DONE], _report(3, "succeed", None, text="no")),
    ),
    "I2 read as something else": ("was read as failed", _case([_DONE], _line(5, "read", status="failed"))),
    # I3
    "I3 started twice": ("started 2 times", _case([_DONE], _line(2, "started"), _line(3, "started"))),
    "I3 handed out twice": ("acknowledge nothing 2 times", _case([_DONE], _line(2, "claimed"), _line(3, "claimed"))),
    "I3 started, and there is none": ("started, and there is no such job", _case([], _line(2, "started"))),
    "I3 started by an agent that never had it": (
        "was never handed out",
        _case([_job(_NEW, (1, "expired"))], _line(2, "started")),
    ),
    "I3 started without an acknowledgment": (
        "started without an acknowledgment",
        _case([_job(_NEW, _TAKEN, (3, "succeeded"), protocol=2, result="ok")], _line(2, "started")),
    ),
    "I3 started, and waiting again": (
        "ended as canceled while waiting",
        _case([_job(_NEW, _TAKEN, (2, "queuing", "gateway"), (3, "canceled"))], _line(2, "started")),
    ),
    "I3 an attempt twice": ("is there twice", _case([_DONE, _job(*_LIFE, **_SECOND_TRY | {"attempt": 1})])),
    "I3 a retry before the end": (
        "was made before attempt 1 had ended",
        _case([_DONE, _job((2, "queuing"), (4, "sent"), (5, "succeeded"), **_SECOND_TRY)], overlap=0),
    ),
    "I3 two attempts at a time": (
        "started while attempt 1 ran",
        _case(
            [_DONE, _job((5, "queuing"), (6, "sent"), (9, "succeeded"), **_SECOND_TRY)],
            *(_line(2, "started"), _line(8, "ended"), _line(7, "started", id="j2")),
        ),
    ),
    # I4
    "I4 submitted for another agent": ("is with agent a1", _case([_DONE], _submit(agent="a2"))),
    "I4 an agent of another owner": ("its agent a9 of owner o9", _case([_job(_NEW, (1, "canceled"), agent_id="a9")])),
    "I4 an event by another agent": ("is by agent:a2", _case([_job(_NEW, _TAKEN, (3, "succeeded", _A2))])),
    "I4 an end by a person": ("is by user:o1", _case([_job(_NEW, _TAKEN, (3, "succeeded", "user:o1"))])),
    "I4 a wait given up by an agent": ("is by agent:a2", _case([_job(_NEW, (8, "expired", _A2))])),
    **{
        f"I4 {do} by another agent": (f"agent a2 {do} it", _case([_DONE], _line(2, do, agent="a2")))
        for do in ("claimed", "started", "ended")
    },
    "I4 a foreign report taken": (
        "agent a2 report it",
        _case([_DONE], _report(3, "succeed"), _report(4, "succeed", agent="a2")),
    ),
    # I5
    "I5 fired twice": (
        "has fired 2 times",
        _case([_DONE_LATER, replace(_DONE_LATER, id="j2", root_id="j2")], delayed=(_delayed(),)),
    ),
    "I5 fired and still scheduled": (
        "is scheduled and has made a job",
        _case([_DONE_LATER], delayed=(_delayed("scheduled", due=0),), now=1),
    ),
    "I5 canceled and yet fired": (
        "is canceled and has made a job",
        _case([_DONE_LATER], delayed=(_delayed("canceled"),)),
    ),
    "I5 fired without a job": ("and there is no job", _case([], delayed=(_delayed(fired=1),))),
    "I5 fired early": ("is marked as fired 1.000 s early", _case([], delayed=(_delayed(due=2, fired=1),))),
    "I5 made early": ("has made its job 4.000 s early", _case([_DONE_LATER], delayed=(_delayed(due=4),))),
    "I5 active later than made": (
        "has made its job 3.000 s early",
        _case([replace(_DONE_LATER, active_at=_at(3))], delayed=(_delayed(),)),
    ),
    "I5 forgotten": (
        "and has not fired",
        _case([], delayed=(_delayed("scheduled", due=10),), now=20),
    ),
    "I1 a delayed job that was accepted is not there": (
        "no such delayed job",
        _case([], _line(0, "delay", id="d1", status=201, message="date")),
    ),
    "I1 a delayed job says something else": (
        "delayed was 'uptime'",
        _case([], _line(0, "delay", id="d1", status=201, message="uptime"), delayed=(_delayed("scheduled", due=9e7),)),
    ),
    # I9
    "I9 a key is held after the end": ("still holds its key", _case([replace(_DONE, distinct_slot="s")])),
    "I9 two hold one key": (
        "2 jobs of queue q1 hold one key",
        _case([_job(_NEW, job_id=f"j{n}", distinct_slot="s", **_QUEUED) for n in range(2)], at_rest=False),
    ),
    "I9 two live at a time": (
        "began while j1, with key 'k', lived",
        _case(
            [_DONE, _job((2.5, "queuing"), (4, "sent"), (5, "failed"), job_id="j2", result="ok")],
            *(_submit(distinct="k"), _submit(distinct="k", key="k2", id="j2")),
        ),
    ),
    # I8
    "I8 passed over": (
        "handed out at",
        _case([_job(_NEW, (50, "sent"), (51, "failed")), _job(_NEW, (20, "sent"), (21, "failed"), job_id="j2", due=5)]),
    ),
    "I8 passed over after it came back": (
        "before j1",
        _case(
            [
                _job(_NEW, _TAKEN, (2, "queuing", "gateway"), (50, "sent"), (51, "failed")),
                _job(_NEW, (20, "sent"), (21, "failed"), job_id="j2", due=5),
            ]
        ),
    ),
    "I8 more than the queue is wide": (
        "is active number 3 of 2",
        _case([_job(_NEW, (20 + n, "sent"), (29, "failed"), job_id=f"j{n}", due=n, **_QUEUED) for n in range(3)]),
    ),
    # I10
    "I10 no event at all": ("has no event", _case([_job(status="failed")])),
    "I10 an event is missing": ("are numbered [1, 2, 4]", _case([_numbered(_job(*_LIFE[:3]), 2, number=4)])),
    "I10 the row is elsewhere": (
        "its last event, 3, says failed",
        _case([_job(_NEW, _TAKEN, (3, "failed"), status="expired")]),
    ),
    "I10 an event begins elsewhere": (
        "but the job was sent",
        _case([_numbered(_job(_NEW, _TAKEN, (3, "failed")), 2, before="running")]),
    ),
    "I10 no step of a job": ("is no step of a job", _case([_job(_NEW, (1, "succeeded"))])),
    "I10 a step before its cause": ("before the one that led to it", _case([_job(_NEW, (9, "sent"), (3, "failed"))])),
}
"""Part of the violation's text and the case, by a description that starts with the invariant."""

_RIGHT: dict[str, Case] = {
    "a plain life": _case(
        [_DONE],
        _submit(),
        _submit(status=None, id=None),
        *(_line(1, "claimed"), _line(2, "started"), _line(3, "ended", agent="one")),
        *(_report(2, "running"), _report(3, "succeed"), _line(4, "read", status="succeeded")),
    ),
    "a late result on the seventh day": _case(
        [_job(_NEW, _TAKEN, (8, "expired"), (8 + _WEEK, "succeeded"), late=True, result="ok")],
        *(_report(9, "succeed", 503), _line(10, "read", status="expired"), _report(8 + _WEEK, "succeed")),
    ),
    "expired a sweep after the lease": _case([_job(_NEW, _TAKEN, (1 + _LEASE + 5, "expired"))]),
    "expired late after an outage": _case([_job(_NEW, _TAKEN, (40, "expired"))], windows=((2, 20), (22, 25))),
    "the same end reported twice, with another text": _case(
        [_job(*_LIFE, protocol=2, result="first")],
        *(_report(3, "succeed", text="first"), _report(4, "succeed", text="second")),
    ),
    "the first report was accepted and its answer lost": _case(
        [_job(*_LIFE, protocol=2, result="first")],
        *(_report(3, "succeed", None, text="first"), _report(4, "succeed", text="second")),
    ),
    "offered twice, acknowledged once": _case(
        [_job(_NEW, _TAKEN, (31, "queuing"), (32, "sent"), (33, "running"), (34, "failed"), protocol=2)],
        _line(33.5, "started"),
    ),
    "attempts one after the other": _case(
        [_DONE, _job((5, "queuing"), (6, "sent"), (9, "succeeded"), **_SECOND_TRY)],
        *(_line(2, "started"), _line(3, "ended"), _line(7, "started", id="j2")),
    ),
    "passed over while a fault could hold a lock": _case(
        [_job(_NEW, (50, "sent"), (51, "failed")), _job(_NEW, (20, "sent"), (21, "failed"), job_id="j2", due=5)],
        windows=((15, 19),),
    ),
    "delayed, and fired at its due time": _case(
        [_job((5, "queuing"), (6, "sent"), (7, "failed"), due=5, parent_id="d1", result="ok")],
        _line(0, "delay", id="d1", status=201, message="date"),
        delayed=(_delayed(due=5, fired=5),),
    ),
    "a second attempt of what was delayed": _case(
        [_DONE_LATER, _job((5, "queuing"), (6, "sent"), (9, "failed"), parent_id="d1", **_SECOND_TRY)],
        delayed=(_delayed(),),
    ),
    "to an address, or to a queue that has it already": _case([], delayed=(_delayed(fired=1, makes_a_job=False),)),
    "due while no ticker could fire": _case([], delayed=(_delayed("scheduled", due=10),), now=60, windows=((5, 50),)),
    "just due": _case([], delayed=(_delayed("scheduled", due=10),), now=16),
    "one of a key after the other": _case(
        [_DONE, _job((3, "queuing"), (4, "sent"), (5, "failed"), job_id="j2", result="ok")],
        *(_submit(distinct="k"), _submit(distinct="k", key="k2", id="j2")),
    ),
    "as many active jobs as the width": _case(
        [_job(_NEW, (20 + n, "sent"), (29, "failed"), job_id=f"j{n}", due=n, **_QUEUED) for n in range(2)]
    ),
}


@pytest.mark.parametrize("what", _WRONG)
def test_each_defect_is_reported(what: str) -> None:
    words, case = _WRONG[what]
    found = invariants.find_violations(case)
    assert [one for one in found if one.invariant == what.split()[0] and words in one.text], list(map(str, found))


@pytest.mark.parametrize("what", _RIGHT)
def test_a_correct_case_has_no_violation(what: str) -> None:
    assert list(map(str, invariants.find_violations(_RIGHT[what]))) == []


def test_every_violation_of_the_rules_is_provoked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `Violation(...)` in the rules is constructed by at least one case."""
    there = {
        (module.__name__, node.lineno)
        for module in _RULE_FILES
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Violation"
    }
    seen = set()

    def speak(**what: str) -> Violation:
        caller = sys._getframe(1)
        seen.add((caller.f_globals["__name__"], caller.f_lineno))
        return Violation(**what)

    for module in _RULE_FILES:
        monkeypatch.setattr(module, "Violation", speak)
    for _words, case in _WRONG.values():
        invariants.find_violations(case)
    assert len(there) > 40
    assert there - seen == set()


def test_the_cases_cover_every_invariant() -> None:
    assert {what.split()[0] for what in _WRONG} == {"I1", "I2", "I3", "I4", "I5", "I8", "I9", "I10"}


class _NoRows:
    """A database without a row."""

    def cursor(self) -> _NoRows:
        return self

    def execute(self, query: str) -> None:
        assert query.startswith("SELECT ")

    def fetchall(self) -> list[tuple[Any, ...]]:
        return []

    def close(self) -> None:
        """There is nothing to close."""


def test_logs_are_read_up_to_the_line_that_a_kill_tore(tmp_path: Path) -> None:
    lines = [
        {"t": 1, "do": "fault", "component": "web"},
        {"t": 2, "do": "fault", "component": "redis"},
        {"t": 3, "do": "healed", "component": "web"},
        {"t": 5, "do": "healed", "component": "redis"},
        {"t": 8, "do": "fault", "component": "web"},
        {"t": 9, "do": "submit"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    log = tmp_path / "faults.jsonl"
    log.write_text(text + '{"t": 10, "do": "sub', encoding="utf-8")
    records = read_records(tmp_path, _NoRows())
    assert (len(records.lines), records.windows) == (6, ((1, 5), (8, 9)))
    log.write_text('{"t": 0\n' + text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"faults\.jsonl, line 1"):
        read_records(tmp_path, _NoRows())
