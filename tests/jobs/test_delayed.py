"""Delayed jobs: create, change, cancel, and fire once and never early, also without their agent."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection

from accounts.services.users import set_frozen
from agents.models import Agent
from agents.services.manage import AgentChange, delete_agent, update_agent
from jobs.delayed.ends import forget_old_delayed_keys
from jobs.delayed.listing import DelayedFilter, list_delayed
from jobs.delayed.release import (
    REFUSED_AGAIN,
    fire_delayed,
    release_delayed,
    release_while,
    tell_of_waiting_jobs,
)
from jobs.delayed.service import (
    DelayedChange,
    DelayedRef,
    Moment,
    cancel_delayed,
    change_delayed,
    create_delayed,
)
from jobs.life.offline import expire_jobs_of_absent_agents
from jobs.life.report import ReportKind
from jobs.life.ticker import ClockGuard, guard, hold_ticker, let_ticker_run
from jobs.models import DelayedJob, DelayedState, Job, Queue, Ticker
from jobs.order import OrderChange
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.errors import AppError, KeyTaken, NotScheduled
from kernel.ids import new_id, occurrence_id
from kernel.transactions import run_one
from notifications.models import Delivery, DeliveryKind, Message
from tests.factories import claim, make_agent, make_job, make_user, report
from tests.jobs.delayed_rows import delay, job_of, new_job

pytestmark = pytest.mark.django_db

_SECOND = dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the guard against clock jumps off, because tests choose any time."""
    monkeypatch.setattr(guard, "believes", lambda _now: True)


def test_it_fires_once_at_its_due_time_and_not_before() -> None:
    agent, start = make_agent(), database_now()
    row = delay(agent, "close order 123", now=start, seconds=60, source="shop", callback="disable")
    assert release_delayed(now=start + 60 * _SECOND - dt.timedelta(microseconds=1)).count == 0
    due = start + 60 * _SECOND
    assert [release_delayed(now=due).count, release_delayed(now=due).count] == [1, 0]
    row.refresh_from_db()
    job = Job.objects.get()
    assert (row.state, row.fired_at, row.job_id) == (DelayedState.FIRED, due, job.pk)
    assert job.pk == occurrence_id(row.pk, "1")
    assert (job.parent_id, job.occurrence, job.active_at, job.created_at) == (row.pk, "1", due, due)
    assert (job.message, job.source, job.callback, job.agent_id) == ("close order 123", "shop", "disable", agent.pk)
    assert claim(agent, now=due) == job


def test_a_job_of_an_earlier_release_is_not_made_again() -> None:
    """A restored backup has the row as scheduled, but its job exists."""
    agent, start = make_agent(), database_now()
    row = delay(agent, now=start)
    later = start + 90 * _SECOND
    assert release_delayed(now=later).count == 1
    DelayedJob.objects.filter(pk=row.pk).update(state=DelayedState.SCHEDULED, fired_at=None)
    assert release_delayed(now=later).count == 1
    assert Job.objects.count() == 1
    assert Job.objects.get().events.count() == 1


def test_a_job_that_cannot_fire_does_not_hold_up_others() -> None:
    agent, start = make_agent(), database_now()
    bad, *good = [delay(agent, now=start, seconds=60 + number) for number in range(3)]
    # Another job has its derived id.
    Job.objects.filter(pk=make_job(agent).pk).update(parent_id=bad.pk, occurrence="1")
    due = start + 90 * _SECOND
    assert [release_delayed(now=due).count, release_delayed(now=due).count] == [3, 0]
    bad.refresh_from_db()
    assert (bad.state, bad.reason, bad.due_at) == (DelayedState.SCHEDULED, "fault", due + REFUSED_AGAIN)
    assert {row.state for row in DelayedJob.objects.exclude(pk=bad.pk)} == {DelayedState.FIRED}
    assert all(job_of(row) for row in good)


def test_jobs_wait_for_an_offline_agent_and_one_notice_covers_all() -> None:
    agent, start = make_agent(online=False), database_now()
    rows = [delay(agent, now=start) for _ in range(3)]
    due = start + 60 * _SECOND
    assert release_delayed(now=due).count == 3
    assert expire_jobs_of_absent_agents(now=due + dt.timedelta(days=2)) == 0
    assert tell_of_waiting_jobs(now=due + dt.timedelta(seconds=299)) == 0
    told = due + dt.timedelta(seconds=301)
    assert [tell_of_waiting_jobs(now=told), tell_of_waiting_jobs(now=told)] == [3, 0]
    assert [message.text.count("3") for message in Message.objects.all()] == [1]
    assert {row.told_at for row in DelayedJob.objects.filter(pk__in=[row.pk for row in rows])} == {told}
    assert Job.objects.waiting().count() == 3


@pytest.mark.parametrize("how", ["deleted", "disabled", "frozen"])
def test_delayed_jobs_of_a_removed_agent_are_canceled_with_a_notice(how: str) -> None:
    agent = make_agent(online=False)
    rows = [delay(agent), delay(agent)]
    if how == "deleted":
        delete_agent(agent=agent, actor="test")
    elif how == "disabled":
        update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    else:
        set_frozen(user=agent.owner, frozen=True, actor="test")
    found = DelayedJob.objects.filter(pk__in=[row.pk for row in rows])
    assert {row.state for row in found} == {DelayedState.CANCELED}
    assert {row.reason for row in found} == {"owner frozen" if how == "frozen" else "agent removed"}
    assert Message.objects.count() == (0 if how == "frozen" else 1)


@pytest.mark.parametrize("how", ["disabled", "frozen"])
def test_a_delayed_job_created_during_the_removal_of_its_agent_is_canceled_when_due(how: str) -> None:
    agent, start = make_agent(), database_now()
    row = delay(agent, now=start)
    if how == "disabled":
        Agent.objects.filter(pk=agent.pk).update(enabled=False)
    else:
        type(agent.owner).objects.filter(pk=agent.owner_id).update(is_active=False)
    assert release_delayed(now=start + 60 * _SECOND).count == 1
    row.refresh_from_db()
    assert (row.state, Job.objects.count()) == (DelayedState.CANCELED, 0)
    assert Message.objects.count() == (0 if how == "frozen" else 1)


def test_to_an_address_it_goes_as_one_signed_post() -> None:
    owner, start = make_user(), database_now()
    row = delay_to(owner.pk, url="https://shop.example/hook", now=start)
    assert release_delayed(now=start + 60 * _SECOND).count == 1
    (delivery,) = Delivery.objects.all()
    assert (delivery.kind, delivery.target) == (DeliveryKind.CALLBACK, "https://shop.example/hook")
    assert (delivery.dedupe_key, delivery.subject) == (f"delayed:{row.pk}", f"delayed:{row.pk}")
    assert {name: delivery.payload[name] for name in ("id", "key", "message")} == {
        "id": row.pk, "key": "order-1", "message": "close",
    }  # fmt: skip
    assert set(delivery.payload) == {"id", "key", "message", "source", "due_at", "fired_at"}
    assert not Job.objects.exists()
    DelayedJob.objects.update(state=DelayedState.SCHEDULED, fired_at=None)
    assert release_delayed(now=start + 60 * _SECOND).count == 1
    assert Delivery.objects.count() == 1


def test_a_queue_that_is_full_or_drained_is_asked_again_and_one_that_has_it_already_is_named() -> None:
    agent, start = make_agent(), database_now()
    queue = Queue.objects.create(
        owner_id=agent.owner_id,
        name="q",
        agent=agent,
        length_limit=1,
        distinct=True,
        created_at=start,
        updated_at=start,
    )
    first, second, same = (
        delay_to(agent.owner_id, queue="q", now=start, message=text, key=key)
        for text, key in (("one", "a"), ("two", "b"), ("one", "c"))
    )
    due = start + 60 * _SECOND
    assert release_delayed(now=due).count == 3
    for row in (first, second, same):
        row.refresh_from_db()
    assert (first.state, same.state, same.reason, same.job_id) == ("fired", "fired", "duplicate", first.job_id)
    assert (second.state, second.reason, second.due_at) == ("scheduled", "QueueFull", due + REFUSED_AGAIN)
    Job.objects.update(status=JobStatus.CANCELED, distinct_slot=None)
    assert release_delayed(now=due + REFUSED_AGAIN).count == 1
    second.refresh_from_db()
    assert (second.state, second.reason, queue.jobs.waiting().get().message) == ("fired", "", "two")


def delay_to(owner_id: str, *, now: dt.datetime, message: str = "close", key: str = "order-1", **to: str) -> DelayedJob:
    """A delayed job for a queue or a URL."""
    agent = Agent(owner_id=owner_id)
    return delay(agent, message, now=now, agent="", key=key, **to)


def test_a_key_names_one_scheduled_job() -> None:
    agent, start = make_agent(), database_now()
    row = delay(agent, now=start, key="order-1")
    (refused,) = create_delayed([new_job(agent, key="order-1")], now=start)
    assert isinstance(refused, KeyTaken)
    assert refused.delayed_id == row.pk
    assert row.pk in refused.message
    (kept,) = create_delayed([new_job(agent, "other", key="order-1", if_exists="keep")], now=start)
    (moved,) = create_delayed([new_job(agent, key="order-1", if_exists="postpone", seconds=90)], now=start)
    assert not isinstance(kept, AppError)
    assert not isinstance(moved, AppError)
    assert (kept.row, kept.created, moved.row, moved.created) == (row, False, row, False)
    assert moved.row.due_at == start + 90 * _SECOND
    fresh = delay(agent, "new", now=start, key="order-1", if_exists="replace")
    row.refresh_from_db()
    assert (row.state, row.reason, fresh.state) == (DelayedState.CANCELED, "replaced", DelayedState.SCHEDULED)
    assert release_delayed(now=start + 60 * _SECOND).count == 1
    assert delay(agent, now=start, key="order-1").pk != fresh.pk


def test_keys_of_two_users_are_independent() -> None:
    one, other = make_agent(), make_agent()
    assert delay(one, key="order-1").pk != delay(other, key="order-1").pk
    (outcome,) = cancel_delayed([DelayedRef(owner_id=make_user().pk, key="order-1")])
    assert isinstance(outcome, AppError)


def test_a_fired_or_canceled_job_cannot_be_changed() -> None:
    agent, start = make_agent(), database_now()
    canceled, fired = delay(agent, now=start), delay(agent, now=start)
    owner = agent.owner_id
    for _ in range(2):
        (outcome,) = cancel_delayed([DelayedRef(owner_id=owner, delayed_id=canceled.pk)])
        assert isinstance(outcome, DelayedJob)
    for _ in range(2):
        (by_hand,) = fire_delayed([DelayedRef(owner_id=owner, delayed_id=fired.pk)])
        assert isinstance(by_hand, DelayedJob)
    job = job_of(fired)
    assert job is not None
    fired.refresh_from_db()
    assert fired.due_at == fired.fired_at == job.active_at
    refused = [
        *cancel_delayed([DelayedRef(owner_id=owner, delayed_id=fired.pk)]),
        *fire_delayed([DelayedRef(owner_id=owner, delayed_id=canceled.pk)]),
        *change_delayed(
            [
                DelayedChange(owner_id=owner, delayed_id=row.pk, order=OrderChange({"message": "x"}))
                for row in (canceled, fired)
            ]
        ),
    ]
    assert [type(one) for one in refused] == [NotScheduled] * 4
    assert release_delayed(now=start + dt.timedelta(days=1)).count == 0
    assert Job.objects.count() == 1


def test_it_is_postponed_and_reworded() -> None:
    agent, start = make_agent(), database_now()
    row = delay(agent, now=start)
    change = DelayedChange(
        owner_id=agent.owner_id,
        delayed_id=row.pk,
        moment=Moment(delay=300 * _SECOND),
        order=OrderChange({"message": "uptime", "callback": "disable"}),
    )
    (changed,) = change_delayed([change], now=start)
    assert isinstance(changed, DelayedJob)
    assert release_delayed(now=start + 299 * _SECOND).count == 0
    assert release_delayed(now=start + 300 * _SECOND).count == 1
    assert [(job.message, job.callback) for job in Job.objects.all()] == [("uptime", "disable")]


def test_a_delay_is_a_second_to_four_hundred_days() -> None:
    agent, start = make_agent(), database_now()
    day = 86_400
    seconds = {0.999: False, 1: True, 400 * day: True, 400 * day + 1: False, 10**12: False, 0: False}
    outcomes = {
        much: not isinstance(create_delayed([new_job(agent, seconds=much)], now=start)[0], AppError) for much in seconds
    }
    assert outcomes == seconds
    ends = {start + _SECOND: True, start - _SECOND: False, start + dt.timedelta(days=401): False}
    assert {
        run_at: not isinstance(create_delayed([new_job(agent, moment=Moment(run_at=run_at))], now=start)[0], AppError)
        for run_at in ends
    } == ends


def test_the_list_is_filtered() -> None:
    agent, other, start = make_agent(), make_agent(), database_now()
    rows = [delay(agent, now=start, seconds=60 * n, key=f"k{n}") for n in (1, 2, 3)]
    delay(other, now=start)
    release_delayed(now=start + 60 * _SECOND)

    def found(**wanted: object) -> list[str]:
        page = list_delayed(viewer=agent.owner, wanted=DelayedFilter(**wanted), size=2)  # type: ignore[arg-type]
        return [row.key for row in page.rows]

    assert found() == ["k3", "k2"]
    assert found(state=DelayedState.FIRED) == ["k1"]
    assert found(key="k2") == ["k2"]
    assert found(agent_id=other.pk) == []
    assert found(due_after=start + 121 * _SECOND) == ["k3"]
    assert found(due_before=start + 121 * _SECOND) == ["k2", "k1"]
    page = list_delayed(viewer=agent.owner, wanted=DelayedFilter(), older_than=rows[1].pk, size=2)
    assert ([row.key for row in page.rows], page.older) == (["k1"], "")


def test_idempotency_keys_are_forgotten_a_week_after_the_end() -> None:
    agent, start = make_agent(), database_now()
    waits, ended = (delay(agent, now=start, seconds=much, idempotency_key=str(much)) for much in (10**7, 60))
    release_delayed(now=start + 60 * _SECOND)
    assert forget_old_delayed_keys(now=start + dt.timedelta(days=6)) == 0
    assert forget_old_delayed_keys(now=start + dt.timedelta(days=8)) == 1
    assert DelayedJob.objects.get(pk=waits.pk).idempotency_digest
    assert not DelayedJob.objects.get(pk=ended.pk).idempotency_digest


def test_a_held_ticker_starts_nothing_and_then_everything() -> None:
    agent, start = make_agent(), database_now()
    delay(agent, now=start)
    hold_ticker(backup_at=start)
    later = start + dt.timedelta(hours=1)
    assert release_delayed(now=later).count == 0
    let_ticker_run()
    assert Ticker.objects.get().held_at is None
    assert release_delayed(now=later).count == 1


def test_a_clock_that_jumps_is_not_believed_for_a_minute() -> None:
    start, steady = database_now(), [0.0]
    clock = ClockGuard(steady=lambda: steady[0])

    def believed(after: float, shown: float) -> bool:
        steady[0] = after
        return clock.believes(start + dt.timedelta(seconds=shown))

    assert believed(0, 0)
    assert believed(1200, 1200)  # down for 20 minutes: not a jump
    assert believed(1201, 1230)  # 29 s in one second: a small correction of the clock
    for at, hour in ((2000.0, 3600.0), (4000.0, -3600.0)):
        assert not believed(at, at + hour)
        assert not believed(at + 59, at + 59 + hour)
        assert believed(at + 60, at + 60 + hour)
    # A clock that is corrected within the minute is doubted again, and nothing fired at the wrong time.
    assert not believed(6000, 6000 - 3600 + 90_000)
    assert not believed(6010, 6010 - 3600)


def test_jobs_due_before_the_next_tick_fire_near_their_due_time() -> None:
    agent = make_agent()
    now = database_now()
    delay(agent, now=now - dt.timedelta(seconds=5), seconds=5.3)
    delay(agent, now=now - dt.timedelta(seconds=5), seconds=60)
    assert release_while(1.0) == 1
    (job,) = Job.objects.all()
    assert dt.timedelta(0) <= job.created_at - job.active_at < dt.timedelta(seconds=0.5)


def test_batches_of_one_tick_go_on_from_where_the_last_one_ended() -> None:
    agent, past = make_agent(), database_now() - dt.timedelta(hours=1)
    for number in range(7):
        delay(agent, now=past, seconds=1 + number // 3)
    assert release_while(5.0, limit=2) == 7
    assert Job.objects.count() == 7


def test_the_job_of_a_delayed_one_ends_as_any_other() -> None:
    agent, start = make_agent(), database_now()
    row = delay(agent, now=start)
    due = start + 60 * _SECOND
    release_delayed(now=due)
    job = claim(agent, now=due)
    assert job is not None
    assert report(agent, job, ReportKind.SUCCEED, "ok", now=due) is None
    assert Job.objects.get(parent_id=row.pk).status == JobStatus.SUCCEEDED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("word", ["refuse", "replace", "keep", "postpone"])
def test_sixteen_racers_under_one_key_leave_one_that_waits(word: str) -> None:
    agent = make_agent()
    outcomes = _at_once(16, lambda: run_one(create_delayed, new_job(agent, key="order-1", if_exists=word), attempts=64))
    waiting = DelayedJob.objects.filter(state=DelayedState.SCHEDULED)
    assert waiting.count() == 1
    assert not [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, KeyTaken)], outcomes
    refused = [one for one in outcomes if isinstance(one, KeyTaken)]
    assert len(refused) == (15 if word == "refuse" else 0), outcomes
    assert DelayedJob.objects.count() == (16 if word == "replace" else 1)


@pytest.mark.django_db(transaction=True)
def test_three_releases_at_once_fire_everything_once() -> None:
    agent, past = make_agent(), database_now() - dt.timedelta(hours=1)
    rows = [delay(agent, now=past) for _ in range(30)]
    by_hand = DelayedRef(owner_id=agent.owner_id, delayed_id=rows[15].pk)
    outcomes = _at_once(4, *[lambda: release_while(3.0, limit=15)] * 3, lambda: run_one(fire_delayed, by_hand))
    assert not [one for one in outcomes if isinstance(one, BaseException)], outcomes
    # A row that one release skipped as locked was fired by another, or fires at the next tick.
    release_while(1.0)
    assert DelayedJob.objects.filter(state=DelayedState.FIRED).count() == 30
    assert sorted(Job.objects.values_list("parent_id", flat=True)) == sorted(row.pk for row in rows)


def _at_once(count: int, *works: object) -> list[object]:
    """Run `count` threads at the same time, each on its own connection; return their results or exceptions."""
    gate = Barrier(count)

    def run(work: object) -> object:
        try:
            connection.ensure_connection()
            gate.wait(20)
            return work()  # type: ignore[operator]
        except Exception as error:
            return error
        finally:
            connection.close()

    chosen = works if len(works) == count else works * count
    with ThreadPoolExecutor(count) as threads:
        return [done.result(60) for done in [threads.submit(run, work) for work in chosen]]


@pytest.mark.django_db(transaction=True)  # ANALYZE commits
def test_the_due_query_uses_its_index() -> None:
    """The query plan with a few due rows among thousands, on both databases."""
    agent, now = make_agent(), database_now()
    row = delay(agent, now=now)
    values = {field.attname: getattr(row, field.attname) for field in DelayedJob._meta.fields}
    rows = []
    for number in range(1000):
        due_at = now + dt.timedelta(days=1, seconds=number) if number > 20 else now - dt.timedelta(seconds=number + 1)
        rows.append(DelayedJob(**values | {"id": new_id(), "due_at": due_at, "job_id": None}))
    DelayedJob.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE jobs_delayedjob" if connection.vendor == "mysql" else "ANALYZE")
    due = DelayedJob.objects.filter(state=DelayedState.SCHEDULED, due_at__lte=now)
    for rows_due in (due, due.filter(due_at__gte=now - dt.timedelta(seconds=10))):
        plan = rows_due.order_by("due_at", "id")[:1000].explain().lower()
        assert "delayed_due" in plan, plan
        assert "filesort" not in plan, plan
        assert "temp b-tree" not in plan, plan
    next_one = (
        DelayedJob.objects.filter(state=DelayedState.SCHEDULED).order_by("due_at", "id").values_list("due_at")[:1]
    )
    assert "delayed_due" in next_one.explain().lower()


def test_notices_cover_delayed_jobs_only() -> None:
    """A waiting job that was not delayed has its own notices."""
    agent, start = make_agent(online=False), database_now()
    make_job(agent, now=start, ttl_seconds=3600)
    assert tell_of_waiting_jobs(now=start + dt.timedelta(minutes=20)) == 0
