"""Ends are stored with the report and evaluated later: nothing that an owner writes can hold up or undo a report."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from accounts.models import User
from agents.models import Agent
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.models import DueEvaluation, Job, JobOutput, WatchMemory
from jobs.states import JobStatus
from jobs.transitions import Output
from jobs.watch import service
from jobs.watch.due import CLAIM_SECONDS, claim_ends, forget_failed_ends
from jobs.watch.service import ATTEMPTS_LIMIT, evaluate_ends
from kernel.clock import database_now
from kernel.strictjson import JsonObject
from notifications.models import Message
from tests.factories import claim, make_agent, make_job, make_user

pytestmark = pytest.mark.django_db

_DIFF: JsonObject = {"when": "change", "mode": "diff", "name": "w"}


@pytest.fixture
def agent() -> Agent:
    """An agent of a user whose language is English."""
    owner = make_user("alice")
    User.objects.filter(pk=owner.pk).update(language="en")
    return make_agent(owner=owner)


def report(agent: Agent, text: str, *, notify: JsonObject = _DIFF) -> Job:
    """Submit a job and report its success."""
    make_job(agent, "check", notify=notify)
    job = claim(agent)
    assert job is not None
    done = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text=text, exit_code=0))
    assert report_jobs([done]) == [None]
    return job


def messages(agent: Agent) -> list[str]:
    """Return the texts of the owner's messages."""
    return list(Message.objects.filter(owner_id=agent.owner_id).order_by("pk").values_list("text", flat=True))


def test_report_is_stored_without_comparing_anything(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "evaluate", _fail)
    job = report(agent, "page")
    assert Job.objects.get(pk=job.pk).status == JobStatus.SUCCEEDED
    assert JobOutput.objects.get(pk=job.pk).text == "page"
    assert DueEvaluation.objects.get().job_id == job.pk


def test_an_end_that_cannot_be_evaluated_is_reported_once_and_not_tried_again(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def fail(*_: Any) -> None:
        tries.append(1)
        raise RecursionError

    monkeypatch.setattr(service, "evaluate", fail)
    jobs = [report(agent, "one"), report(agent, "two")]
    evaluate_all()
    assert len(tries) == 2
    assert not DueEvaluation.objects.filter(failed_at=None).exists()
    (text,) = messages(agent)
    assert "could not be compared" in text
    assert jobs[0].pk in text
    assert not WatchMemory.objects.exclude(content={}).exists()


def test_later_ends_of_the_subject_go_on(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(service, "evaluate", _fail)
        report(agent, "a")
        evaluate_all()
    report(agent, "b")
    report(agent, "c")
    evaluate_all()
    assert WatchMemory.objects.get().content["lines"] == ["c"]
    assert len(messages(agent)) == 2


def test_an_evaluation_that_kills_its_worker_is_given_up(agent: Agent) -> None:
    report(agent, "page")
    report(agent, "another page")
    now = database_now()
    for _attempt in range(ATTEMPTS_LIMIT):
        # A worker that is killed leaves its claim behind.
        assert claim_ends(now=now)
        assert claim_ends(now=now) == []
        now += dt.timedelta(seconds=CLAIM_SECONDS + 1)
    assert evaluate_ends(now=now) == 1
    (failed,) = DueEvaluation.objects.exclude(failed_at=None)
    # The end behind it was claimed along once, and is evaluated now.
    assert evaluate_ends(now=now) == 1
    assert not DueEvaluation.objects.exclude(pk=failed.pk).exists()
    assert WatchMemory.objects.get().content["lines"] == ["another page"]


def test_one_owner_has_one_worker_at_a_time(agent: Agent) -> None:
    other = make_agent(owner=make_user("bob"))
    for number in range(3):
        report(agent, str(number))
    report(other, "page")
    now = database_now()
    claims = [claim_ends(now=now) for _ in range(3)]
    assert sorted(map(len, claims)) == [0, 1, 3]
    by_owner = {row.owner_id for rows in claims for row in rows}
    assert by_owner == {agent.owner_id, other.owner_id}
    mine = next(rows for rows in claims if len(rows) == 3)
    assert [JobOutput.objects.get(pk=row.job_id).text for row in mine] == ["0", "1", "2"]


def test_the_rest_is_given_back_when_the_turn_is_over(agent: Agent) -> None:
    for number in range(3):
        report(agent, str(number))
    evaluate_ends(until=0.0)
    assert list(DueEvaluation.objects.values_list("attempts", "claimed_until")) == [(0, None)] * 2
    evaluate_all()
    assert len(messages(agent)) == 2


def test_a_memory_that_changes_meanwhile_is_read_again(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    report(agent, "a")
    evaluate_all()
    real, seen = service.evaluate, []

    def forget_then_evaluate(policy: Any, memory: Any, run: Any) -> Any:
        if not seen:
            WatchMemory.objects.update(content={})
        seen.append(memory)
        return real(policy, memory, run)

    monkeypatch.setattr(service, "evaluate", forget_then_evaluate)
    report(agent, "b")
    evaluate_all()
    assert [memory is None for memory in seen] == [False, True]
    assert messages(agent) == []


def test_an_end_is_evaluated_once_though_two_workers_hold_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    report(agent, "a")
    evaluate_all()
    report(agent, "b")
    real = service.evaluate

    def slow(policy: Any, memory: Any, run: Any) -> Any:
        monkeypatch.setattr(service, "evaluate", real)
        # Stands for a worker that stood still until its claim was over.
        assert evaluate_ends(now=database_now() + dt.timedelta(seconds=CLAIM_SECONDS + 1)) == 1
        return real(policy, memory, run)

    monkeypatch.setattr(service, "evaluate", slow)
    evaluate_all()
    assert len(messages(agent)) == 1
    assert not DueEvaluation.objects.exists()


def test_failed_ends_are_kept_for_a_week(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "evaluate", _fail)
    report(agent, "a")
    evaluate_all()
    now = database_now()
    assert forget_failed_ends(now=now + dt.timedelta(days=6)) == 0
    assert forget_failed_ends(now=now + dt.timedelta(days=8)) == 1


def evaluate_all() -> None:
    """Evaluate the ends that are due."""
    while evaluate_ends():
        continue


def _fail(*_: Any) -> None:
    raise ArithmeticError
