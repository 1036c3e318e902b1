"""Workloads that reach the failpoints of services, repeated by a process that dies at one.

An acknowledged result must survive, so a workload notes it in the journal after the service returned: in the format of
`records.py` if the checker knows its kind, else as `agent`, `user`, `token`, `no token` and `log`, which
`failpoint_runner.py` checks.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import json
import sys
from collections.abc import Callable

from django.core.management import call_command

from accounts.limits import identify_within_limits
from accounts.models import TokenScope, User, UserToken
from accounts.services.identities import ChatAddress, bind_identity, meet_identity, unbind_identity
from accounts.services.tokens import (
    mint_user_token,
    note_token_in_query,
    own_token,
    replace_own_token,
    revoke_user_token,
)
from accounts.services.users import ensure_staff, set_frozen
from agents.models import Agent
from agents.services.manage import AgentChange, delete_agent, reset_agent_token, update_agent
from jobs.life.claim import Claim, PutBack, claim_jobs, put_back_jobs
from jobs.life.log import append_log
from jobs.life.offline import expire_jobs_of_absent_agents, mark_silent_agents
from jobs.life.overdue import expire_overdue_jobs
from jobs.life.report import Report, ReportKind, report_jobs
from jobs.life.retention import delete_surplus
from jobs.life.submit import submit_jobs
from jobs.life.upkeep import beat_gateway_clock, forget_old_keys, ring_lost_bells
from jobs.models import Job
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.bells import ringer
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.transactions import run_one
from tests.factories import claim, gateway_alive, make_agent, make_job, make_job_in, make_user, submission
from tests.faults.chat_workloads import answer_later, choose_one, hear_one, invite_one, use_codes
from tests.faults.delay_workloads import fire_some, restore_some, tell_of_some
from tests.faults.journal import Journal
from tests.faults.message_workloads import answer_one, change_channels, deliver_one, withdraw_one
from tests.faults.queue_workloads import bury_some, queue_some
from tests.faults.schedule_workloads import evaluate_one, let_occurrences_come, miss_some, read_calendars, schedule_some

_numbers = itertools.count(1)


def workload_for(point: str) -> Callable[[Journal], None] | None:
    """Return the workload that reaches the failpoint, None for failpoints of the web process."""
    return None if point in _IN_WEB else _WORKLOADS.get(point.split(".")[0])


def _person() -> User:
    return make_user(f"u{new_id()}")


def _agent() -> Agent:
    return make_agent(owner=_person(), name=f"a-{next(_numbers)}")


def _submitted(journal: Journal, agent: Agent, **more: object) -> Job:
    return _note_submit(journal, make_job(agent, **more))  # type: ignore[arg-type]


def _note_submit(journal: Journal, job: Job) -> Job:
    journal.note("submit", key=None, agent=job.agent_id, message=job.message, status=201, id=job.pk)
    return job


def _ended(journal: Journal, job: Job, status: JobStatus) -> None:
    journal.note("read", id=job.pk, status=status)


def _taken(journal: Journal, job: Job, kind: ReportKind, text: str) -> None:
    journal.note("report", agent=job.agent_id, id=job.pk, kind=kind, status=204, text=text)


def _run_one(journal: Journal) -> None:
    """The third transaction writes a failure and its next attempt together."""
    agent = _agent()
    job = _note_submit(journal, run_one(submit_jobs, submission(agent, retries=1)))
    assert run_one(claim_jobs, Claim(agent_id=agent.pk)) == job
    report = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.FAIL, output=Output(text="done"))
    # The report may be committed without an answer.
    journal.note("report", agent=agent.pk, id=job.pk, kind=report.kind, status=None, text="done")
    run_one(report_jobs, report)
    _taken(journal, job, report.kind, "done")


def _log(journal: Journal) -> None:
    agent = _agent()
    job = _submitted(journal, agent)
    assert claim(agent) == job
    size = 0
    for line in ("one\n", "two\n", "three\n"):
        size = append_log(agent_id=agent.pk, job_id=job.pk, offset=size, text=line)
        journal.note("log", id=job.pk, size=size)


def _overdue(journal: Journal) -> None:
    job = _submitted(journal, _agent(), ttl_seconds=3000)
    later = database_now() + dt.timedelta(hours=1)
    gateway_alive(now=later)
    while expire_overdue_jobs(now=later):
        continue
    _ended(journal, job, JobStatus.EXPIRED)


def _offline(journal: Journal) -> None:
    job = _submitted(journal, _agent())
    later = database_now() + dt.timedelta(hours=1)
    gateway_alive(now=later)
    while mark_silent_agents(now=later):
        continue
    _ended(journal, job, JobStatus.EXPIRED)


def _absent(journal: Journal) -> None:
    agent = _agent()
    job = _submitted(journal, agent)
    Agent.objects.filter(pk=agent.pk).update(online=False)
    while expire_jobs_of_absent_agents():
        continue
    _ended(journal, job, JobStatus.EXPIRED)


def _keys(journal: Journal) -> None:
    agent = _agent()
    job = _submitted(journal, agent, idempotency_key=new_id())
    assert claim(agent) == job
    journal.note("report", agent=agent.pk, id=job.pk, kind=ReportKind.FAIL, status=None, text="no")
    report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.FAIL, output=Output(text="no"))])
    _taken(journal, job, ReportKind.FAIL, "no")
    forget_old_keys(now=database_now() + dt.timedelta(days=8))


def _retention(_journal: Journal) -> None:
    """The job is not in the journal, because it may be gone."""
    agent = _agent()
    make_job_in(JobStatus.SUCCEEDED, agent)
    assert delete_surplus(agent.owner_id, 1, now=database_now() + dt.timedelta(hours=1)) == 1
    assert not Job.objects.filter(owner_id=agent.owner_id).exists()


def _lost_bells(journal: Journal) -> None:
    _submitted(journal, _agent())
    ring_lost_bells(now=database_now() + dt.timedelta(seconds=3))
    ringer.wait_until_empty()


def _bell(journal: Journal) -> None:
    _submitted(journal, _agent())
    ringer.wait_until_empty()


def _put_back(journal: Journal) -> None:
    agent = _agent()
    job = _submitted(journal, agent)
    first = Claim(agent_id=agent.pk)
    assert run_one(claim_jobs, first) == job
    run_one(put_back_jobs, PutBack(request_id=first.request_id))
    assert claim(agent) == job


def _clock(journal: Journal) -> None:
    _submitted(journal, _agent(), ttl_seconds=3600)
    beat_gateway_clock(now=database_now() + dt.timedelta(seconds=100 * next(_numbers)))


def _view_limit(journal: Journal) -> None:
    token = mint_user_token(user=_person(), scope=TokenScope.FULL, actor="test")
    journal.note("token", token=token)
    identify_within_limits(token, address=None)


def _agents(journal: Journal) -> None:
    agent = _agent()
    journal.note("agent", id=agent.pk)
    token = reset_agent_token(agent=agent, actor="test")
    journal.note("token", token=token)
    _submitted(journal, agent)
    update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    update_agent(agent=agent, change=AgentChange(enabled=True), actor="test")
    gone = _agent()
    job = _submitted(journal, gone)
    delete_agent(agent=gone, actor="test", force=True)
    _ended(journal, job, JobStatus.CANCELED)


def _people(journal: Journal) -> None:
    user = _person()
    journal.note("user", id=user.pk)
    kept, ended = (mint_user_token(user=user, scope=TokenScope.FULL, actor="test") for _ in range(2))
    journal.note("token", token=kept)
    note_token_in_query(owner_id=user.pk, scope=TokenScope.FULL, actor="test")
    revoke_user_token(token=UserToken.objects.filter(user=user).order_by("-pk")[0], actor="test")
    journal.note("no token", token=ended)
    own = own_token(user=user, scope=TokenScope.FULL, actor="test")
    journal.note("token", token=replace_own_token(user=user, scope=TokenScope.FULL, actor="test"))
    journal.note("no token", token=own)
    ensure_staff(username=f"s{new_id()}", password="a long enough one")
    frozen = make_agent(owner=_person(), name="frozen")
    job = _submitted(journal, frozen)
    set_frozen(user=frozen.owner, frozen=True, actor="test")
    _ended(journal, job, JobStatus.CANCELED)


def _identities(journal: Journal) -> None:
    address = ChatAddress(platform="wechat", account="us", external_id=new_id())
    identity, _new = meet_identity(address)
    journal.note("user", id=identity.owner_id)
    owner = _person()
    bind_identity(address, owner=owner)
    journal.note("user", id=owner.pk)
    unbind_identity(identity, actor="test")
    journal.note("no identity", id=identity.pk)


def _create_agent(journal: Journal) -> None:
    output = io.StringIO()
    call_command("create_agent", f"u{new_id()}", "worker", stdout=output)
    journal.note("token", token=output.getvalue().strip())


def _first_start(journal: Journal) -> None:
    output = io.StringIO()
    login = json.dumps({"username": f"s{new_id()}", "password": "a long enough one"})
    sys.stdin = io.TextIOWrapper(io.BytesIO(login.encode()))
    call_command("first_start", stdout=output)
    answer = json.loads(output.getvalue())
    journal.note("token", token=answer["user_token"])
    journal.note("token", token=answer["agent_token"])


_WORKLOADS: dict[str, Callable[[Journal], None]] = {
    "absent": _absent,
    "action": answer_one,
    "agent": _agents,
    "run_one": _run_one,
    "bell": _bell,
    "calendar": read_calendars,
    "channel": change_channels,
    "choice": choose_one,
    "clock": _clock,
    "code": use_codes,
    "create_agent": _create_agent,
    "delayed": tell_of_some,
    "deliver": deliver_one,
    "first_start": _first_start,
    "flag": _bell,
    "identity": _identities,
    "inbound": hear_one,
    "invitation": invite_one,
    "keys": _keys,
    "later": answer_later,
    "log": _log,
    "message": withdraw_one,
    "lost_bells": _lost_bells,
    "offline": _offline,
    "overdue": _overdue,
    "put_back": _put_back,
    "release": fire_some,
    "retention": _retention,
    "restore": restore_some,
    "queue": queue_some,
    "dead": bury_some,
    "schedule": schedule_some,
    "schedules": let_occurrences_come,
    "grace": miss_some,
    "ticker": restore_some,
    "token": _people,
    "user": _people,
    "watch": evaluate_one,
    "view_limit": _view_limit,
}
"""Workloads by the first word of their failpoints. Clients of the web process reach the others."""
_IN_WEB = frozenset(
    {
        "put_back.before_queue",
        "put_back.after_queue",
        "flag.before_tell",
        "flag.after_tell",
        "flag.before_take",
        "flag.after_take",
    }
)
"""Failpoints of the web process although their first word is in the table above."""
