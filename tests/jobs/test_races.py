"""Races of transactions: there is no deadlock, and no poll or report is lost."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry, User
from accounts.services.audit import first_broken_entry, record_audit
from accounts.services.users import ensure_staff, get_or_create_user, set_frozen
from agents.models import Agent
from agents.services.find import find_agent
from agents.services.manage import AgentChange, delete_agent, update_agent
from agents.services.presence import AgentTouch, touch_agents
from jobs.life.offline import mark_silent_agents
from kernel.clock import database_now
from kernel.errors import AgentNotFound
from tests.factories import gateway_alive, make_agent, make_job, make_user
from tests.waiting import until


def _in_thread(threads: ThreadPoolExecutor, work: Callable[[], object]) -> Future[object]:
    """Run on its own connection, which is closed afterwards."""

    def run() -> object:
        try:
            return work()
        finally:
            connection.close()

    return threads.submit(run)


def _waiting_for_locks() -> int:
    # The server refreshes innodb_trx only after 0.1 s without a query of it.
    time.sleep(0.15)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
        (count,) = cursor.fetchone()
    return int(count)


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["freeze", "delete", "disable"])
def test_the_audit_trail_is_locked_after_the_jobs(how: str) -> None:
    agent = make_agent()
    make_job(agent)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        if how == "freeze":
            set_frozen(user=agent.owner, frozen=True, actor="test")
        elif how == "delete":
            delete_agent(agent=agent, actor="test", force=True)
        else:
            update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    said = [query["sql"] for query in queries]
    jobs = [at for at, sql in enumerate(said) if "jobs_job" in sql]
    trail = [at for at, sql in enumerate(said) if "accounts_auditentry" in sql]
    assert max(jobs) < min(trail)


@pytest.mark.mariadb_only
@pytest.mark.django_db(transaction=True)
def test_a_poll_during_the_sweep_keeps_the_agent_online() -> None:
    owner = make_user()
    first, second = sorted((make_agent(owner=owner) for _ in range(2)), key=lambda agent: agent.pk)
    now = database_now()
    gateway_alive(now=now)
    Agent.objects.filter(pk=second.pk).update(last_seen_at=now - dt.timedelta(seconds=500))
    touches = [AgentTouch(agent_id=agent.pk, ip="192.0.2.1", version="test") for agent in (first, second)]
    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic():
            # touch_agents() waits for this row, before the silent agent's, while the sweep runs.
            Agent.objects.select_for_update().get(pk=first.pk)
            word = _in_thread(threads, lambda: touch_agents(touches))
            until(lambda: _waiting_for_locks() == 1)
            assert _in_thread(threads, mark_silent_agents).result(10) == 1
        word.result(10)
    second.refresh_from_db()
    assert second.online


@pytest.mark.mariadb_only
@pytest.mark.django_db(transaction=True)
def test_first_entries_of_the_trail_written_at_once_all_stand_in_it() -> None:
    writers = 4
    gate = Barrier(writers)

    def write(name: str) -> None:
        with transaction.atomic():
            User.objects.exists()
            gate.wait(10)
            record_audit(actor=name, action="test", subject="test", now=database_now())

    for _ in range(5):
        AuditEntry.objects.all().delete()
        with ThreadPoolExecutor(writers) as threads:
            for done in [_in_thread(threads, lambda name=str(at): write(name)) for at in range(writers)]:
                done.result(20)
        assert AuditEntry.objects.count() == writers
        assert first_broken_entry() is None


@pytest.mark.django_db
def test_an_agent_name_with_a_trailing_blank_is_not_found() -> None:
    agent = make_agent(name="press")
    assert find_agent(viewer=agent.owner, called="press") == agent
    assert find_agent(viewer=agent.owner, called="PRESS") == agent
    with pytest.raises(AgentNotFound):
        find_agent(viewer=agent.owner, called="press ")


@pytest.mark.django_db
def test_a_username_with_a_blank_at_its_end_is_no_user() -> None:
    user = get_or_create_user(username="dora")
    assert get_or_create_user(username="dora") == user
    with pytest.raises(ValidationError):
        get_or_create_user(username="dora ")
    with pytest.raises(ValidationError):
        ensure_staff(username="dora ", password="a long enough one")
    user.refresh_from_db()
    assert not user.is_staff
