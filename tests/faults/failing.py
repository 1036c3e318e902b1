"""`python -m tests.faults.failing act POINT JOURNAL`: do, over and over, what leads to one failpoint, until it kills.

What a service has returned is a promise, and goes into the journal after it. `... check JOURNAL` looks afterwards
whether the database keeps every promise and hangs together; `... hold SECONDS` keeps rows locked.
"""

from __future__ import annotations

import datetime as dt
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import django

django.setup()

from django.db import transaction  # noqa: E402  only after Django is set up

from accounts import credentials  # noqa: E402  only after Django is set up
from accounts.models import TokenScope, User, UserToken  # noqa: E402
from accounts.services.audit import first_broken_entry  # noqa: E402
from accounts.services.tokens import mint_user_token, note_token_in_query, revoke_user_token  # noqa: E402
from accounts.services.users import ensure_staff, set_frozen  # noqa: E402
from agents.models import Agent, AgentToken  # noqa: E402
from agents.services.manage import AgentChange, delete_agent, reset_agent_token, update_agent  # noqa: E402
from jobs.models import Job  # noqa: E402
from jobs.services.alone import run_alone  # noqa: E402
from jobs.services.claim import Claim, PutBack, claim_jobs, put_back_jobs  # noqa: E402
from jobs.services.moves import Output  # noqa: E402
from jobs.services.offline import expire_jobs_of_absent_agents, mark_silent_agents  # noqa: E402
from jobs.services.overdue import expire_overdue_jobs  # noqa: E402
from jobs.services.report import Report, ReportKind, report_jobs  # noqa: E402
from jobs.services.submit import submit_jobs  # noqa: E402
from jobs.services.upkeep import beat_gateway_clock, forget_old_keys, ring_lost_bells  # noqa: E402
from jobs.states import TERMINAL, JobStatus  # noqa: E402
from kernel.bells import ringer  # noqa: E402
from kernel.clock import database_now  # noqa: E402
from kernel.ids import new_id  # noqa: E402
from tests.factories import claim, gateway_alive, make_agent, make_job, make_user, submission  # noqa: E402
from tests.faults.evidence import Journal, read_lines  # noqa: E402

_numbers = itertools.count(1)


def _person() -> User:
    return make_user(f"u{new_id().lower()}")


def _agent() -> Agent:
    return make_agent(owner=_person(), name=f"a-{next(_numbers)}")


def _alone(journal: Journal) -> None:
    agent = _agent()
    job = run_alone(submit_jobs, submission(agent))
    journal.note("job", id=job.pk)
    taken = run_alone(claim_jobs, Claim(agent_id=agent.pk))
    assert taken == job
    run_alone(
        report_jobs, Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text="done"))
    )
    journal.note("ended", id=job.pk, status=JobStatus.SUCCEEDED)


def _overdue(journal: Journal) -> None:
    job = make_job(_agent(), ttl_seconds=60)
    later = database_now() + dt.timedelta(hours=1)
    gateway_alive(now=later)
    while expire_overdue_jobs(now=later):
        continue
    journal.note("ended", id=job.pk, status=JobStatus.EXPIRED)


def _offline(journal: Journal) -> None:
    job = make_job(_agent())
    later = database_now() + dt.timedelta(hours=1)
    gateway_alive(now=later)
    while mark_silent_agents(now=later):
        continue
    journal.note("ended", id=job.pk, status=JobStatus.EXPIRED)


def _absent(journal: Journal) -> None:
    agent = _agent()
    job = make_job(agent)
    Agent.objects.filter(pk=agent.pk).update(online=False)
    while expire_jobs_of_absent_agents():
        continue
    journal.note("ended", id=job.pk, status=JobStatus.EXPIRED)


def _keys(journal: Journal) -> None:
    agent = _agent()
    job = make_job(agent, idempotency_key=new_id())
    claim(agent)
    report_jobs([Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.FAIL, output=Output())])
    journal.note("ended", id=job.pk, status=JobStatus.FAILED)
    forget_old_keys(now=database_now() + dt.timedelta(days=8))


def _lost_bells(journal: Journal) -> None:
    job = make_job(_agent())
    journal.note("job", id=job.pk)
    ring_lost_bells(now=database_now() + dt.timedelta(seconds=3))
    ringer.wait_until_empty()


def _bell(journal: Journal) -> None:
    journal.note("job", id=make_job(_agent()).pk)
    ringer.wait_until_empty()


def _put_back(journal: Journal) -> None:
    agent = _agent()
    job = make_job(agent)
    journal.note("job", id=job.pk)
    wish = Claim(agent_id=agent.pk)
    assert run_alone(claim_jobs, wish) == job
    run_alone(put_back_jobs, PutBack(request_id=wish.request_id))
    assert claim(agent) == job


def _clock(journal: Journal) -> None:
    job = make_job(_agent(), ttl_seconds=60)
    journal.note("job", id=job.pk)
    beat_gateway_clock(now=database_now() + dt.timedelta(seconds=100 * next(_numbers)))


def _agents(journal: Journal) -> None:
    agent = _agent()
    journal.note("agent", id=agent.pk)
    token = reset_agent_token(agent=agent, actor="test")
    journal.note("token", token=token)
    assert make_job(agent)
    update_agent(agent=agent, change=AgentChange(enabled=False), actor="test")
    update_agent(agent=agent, change=AgentChange(enabled=True), actor="test")
    gone = _agent()
    job = make_job(gone)
    delete_agent(agent=gone, actor="test", force=True)
    journal.note("ended", id=job.pk, status=JobStatus.CANCELED)


def _people(journal: Journal) -> None:
    user = _person()
    journal.note("user", id=user.pk)
    kept, ended = (mint_user_token(user=user, scope=TokenScope.FULL, actor="test") for _ in range(2))
    journal.note("token", token=kept)
    note_token_in_query(owner_id=user.pk, scope=TokenScope.FULL, actor="test")
    revoke_user_token(token=UserToken.objects.filter(user=user).order_by("-pk")[0], actor="test")
    journal.note("no token", token=ended)
    ensure_staff(username=f"s{new_id().lower()}", password="a long enough one")
    frozen = make_agent(owner=_person(), name="frozen")
    job = make_job(frozen)
    set_frozen(user=frozen.owner, frozen=True, actor="test")
    journal.note("ended", id=job.pk, status=JobStatus.CANCELED)


_ACTS: dict[str, Callable[[Journal], None]] = {
    "alone": _alone,
    "overdue": _overdue,
    "offline": _offline,
    "absent": _absent,
    "keys": _keys,
    "lost_bells": _lost_bells,
    "bell": _bell,
    "flag": _bell,
    "put_back": _put_back,
    "clock": _clock,
    "agent": _agents,
    "token": _people,
    "user": _people,
}


def broken_promises(journal: Path) -> list[str]:
    """Return what the database does not keep of the journal, and where it does not hang together."""
    found = []
    for line in read_lines(journal.parent, journal.name):
        match line["do"]:
            case "job" | "ended":
                job = Job.objects.filter(pk=line["id"]).first()
                if job is None or job.status != line.get("status", job.status):
                    found.append(f"{line}: {job}")
            case "agent":
                if not Agent.objects.filter(pk=line["id"]).exists():
                    found.append(f"{line}: no such agent")
            case "user":
                if not User.objects.filter(pk=line["id"]).exists():
                    found.append(f"{line}: no such user")
            case "token":
                credentials.identify(line["token"])  # raises Unauthorized
    for job in Job.objects.prefetch_related("events"):
        events = sorted(job.events.all(), key=lambda event: event.number)
        if [event.number for event in events] != list(range(1, job.events_count + 1)):
            found.append(f"{job}: events {[event.number for event in events]} of {job.events_count}")
        elif events[-1].after != job.status or any(a.after != b.before for a, b in itertools.pairwise(events)):
            found.append(f"{job}: its events tell another story")
        if sum(event.after in TERMINAL for event in events) > 1 + job.late:
            found.append(f"{job}: more than one end")
    for agent in Agent.objects.all():
        if agent.deleted_at is None and not AgentToken.objects.filter(agent=agent, revoked_at=None).exists():
            found.append(f"agent {agent.pk}: no token")
        if (agent.deleted_at is not None) == agent.names.exists():
            found.append(f"agent {agent.pk}: names and deletion do not fit")
    if (number := first_broken_entry()) is not None:
        found.append(f"audit trail: broken at {number}")
    return found


def main() -> int:
    """Do what the command line says; `act` never ends by itself."""
    match sys.argv[1:]:
        case ["act", point, path]:
            act = _ACTS[point.split(".")[0]]
            journal = Journal(Path(path))
            while True:
                act(journal)
        case ["hold", seconds]:
            # SQLite gives the whole database to a transaction as it begins, MariaDB these rows.
            with transaction.atomic():
                list(Job.objects.select_for_update().filter(status=JobStatus.SENT))
                list(Agent.objects.select_for_update())
                time.sleep(float(seconds))
            return 0
        case ["check", path]:
            found = broken_promises(Path(path))
            print("\n".join(found))
            return 1 if found else 0
    raise SystemExit(__doc__)


if __name__ == "__main__":
    raise SystemExit(main())
