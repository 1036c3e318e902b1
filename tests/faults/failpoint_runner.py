"""`python -m tests.faults.failpoint_runner`: runs workloads and web processes as children that die at a failpoint.

It reads one order per line, a JSON object, from stdin and prints one line: {"answer": ...}, or {"error": text}.

    {"do": "people"}                                    forget all jobs; a user's token, an agent's name and token
    {"do": "kill", "point": P, "kills": N, "folder": F} how many of N children died at the failpoint
    {"do": "serve"}, {"do": "stop"}                     start and stop a web process without a failpoint
    {"do": "check", "folder": F}                        the violations that the folder's journals show

Only children use the database: this process has neither a connection nor a thread, so that a fork is as clean as a new
interpreter and takes a hundredth of its time. The web children share one listening socket that never closes: a
connection between two of them waits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402  only after Django is set up
from django.db import connection, transaction  # noqa: E402

from accounts import credentials  # noqa: E402
from accounts.models import ChatIdentity, TokenScope, User  # noqa: E402
from accounts.services.audit import first_broken_entry  # noqa: E402
from accounts.services.tokens import mint_user_token  # noqa: E402
from agents.models import Agent, AgentToken  # noqa: E402
from agents.services.manage import create_agent  # noqa: E402
from jobs.models import DelayedJob, DueEvaluation, Job, JobEvent, JobLogChunk, JobOutput, Queue, Schedule, ScheduleRun  # noqa: E402
from jobs.states import JobStatus, Move  # noqa: E402
from kernel.errors import Unauthorized  # noqa: E402
from kernel.failpoints import arm  # noqa: E402
from kernel.ids import new_id  # noqa: E402
from letserver import asgi  # noqa: E402, F401  every child would import it anew
from letserver.up.port import WebPort  # noqa: E402
from letserver.web import make_server  # noqa: E402
from tests.factories import make_user  # noqa: E402
from tests.faults import chat_workloads, message_workloads, queue_workloads, schedule_workloads  # noqa: E402
from tests.faults.invariants import Limits, check  # noqa: E402
from tests.faults.journal import Journal, read_lines  # noqa: E402
from tests.faults.workloads import workload_for  # noqa: E402

_RARE = ("writer.one_by_one", "put_back")
_DIES_WITHIN_SECONDS = 90.0
_HELD_SECONDS = 2.3  # longer than the writer is patient
_REPORTS_ON_THEIR_WAY = 3
_LOOK_SECONDS = 0.02
# No sweep runs here, so no job has to end in time.
_LIMITS = Limits(at_rest=False, sweep=1_000_000)


def _fork(body: Callable[[], object]) -> int:
    """Run the body in a child process and return its pid. The child exits after the body, with 1 on an exception."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        body()
        status = 0
    except Exception:
        # This is the top of the child: the log has the traceback, the parent sees the status.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _wait(child: int, *, seconds: float) -> int:
    """Return the exit status of a child; kill it after `seconds` and return 1."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            _end(child)
            return 1
        time.sleep(0.003)


def _end(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Runner:
    """Carries out orders in children."""

    def __init__(self) -> None:
        self.listener = WebPort(host=settings.HOST, port=settings.PORT, shared=False).take()
        self.web = 0

    def people(self) -> None:
        """Delete all jobs, create a user and an agent, and print the answer."""
        for table in (DueEvaluation, JobLogChunk, JobOutput, JobEvent, Job, DelayedJob, ScheduleRun, Schedule, Queue):
            table._default_manager.all()._raw_delete(connection.alias)
        owner = make_user(f"u{new_id()}")
        agent, agent_token = create_agent(owner=owner, name="worker", actor="test")
        user_token = mint_user_token(user=owner, scope=TokenScope.FULL, actor="test")
        _answer({"user_token": user_token, "agent": agent.pk, "agent_token": agent_token})

    def kill(self, point: str, kills: int, folder: Path) -> int:
        """Let children die at the failpoint, at most `kills`; return how many did."""
        deaths = folder / "deaths"
        for at in range(kills):
            # Die at the first, second or third pass, because the first one starts cold. Rare points die at the first.
            number = 1 if point.startswith(_RARE) else at % 3 + 1
            if self._kill_one(point, f"{point}:{number}:{deaths}", folder) != -signal.SIGKILL:
                break
        return len(deaths.read_text(encoding="utf-8").splitlines()) if deaths.exists() else 0

    def _kill_one(self, point: str, armed: str, folder: Path) -> int:
        workload = workload_for(point)
        if workload is not None:
            return _wait(
                _fork(lambda: _run_workload(workload, armed, folder / "workloads.jsonl")), seconds=_DIES_WITHIN_SECONDS
            )
        web = _fork(lambda: self._serve(armed))
        if "one_by_one" not in point:
            return _wait(web, seconds=_DIES_WITHIN_SECONDS)
        journal = Journal(folder / "faults.jsonl")
        journal.note("fault", component="locks", kind="held")
        holder = _fork(_hold)
        try:
            return _wait(web, seconds=_DIES_WITHIN_SECONDS)
        finally:
            _end(holder)
            journal.note("healed", component="locks", kind="held")
            journal.close()

    def serve(self) -> None:
        """Start a web process without a failpoint."""
        self.web = _fork(lambda: self._serve(""))

    def stop(self) -> bool:
        """Stop it with SIGTERM; return whether it ended by that."""
        os.kill(self.web, signal.SIGTERM)
        child, self.web = self.web, 0
        # uvicorn shuts down and then raises the signal again, so that its parent sees it.
        return _wait(child, seconds=_DIES_WITHIN_SECONDS) == -signal.SIGTERM

    def _serve(self, armed: str) -> None:
        arm(armed)
        make_server(host=settings.HOST, port=settings.PORT).run(sockets=[self.listener])


def _run_workload(workload: Callable[[Journal], None], armed: str, path: Path) -> None:
    arm(armed)
    journal = Journal(path)
    while True:
        workload(journal)


def _hold() -> None:
    """Repeatedly lock rows for longer than the writer's lock timeout, so that its batches fail."""
    while True:
        # After such a failure only reports are retried one by one: start when some are pending.
        before = _count_progress()
        while _count_progress() < before + _REPORTS_ON_THEIR_WAY:
            time.sleep(_LOOK_SECONDS)
        # On SQLite the transaction locks the whole database when it begins, on MariaDB these rows.
        with transaction.atomic():
            list(Job.objects.select_for_update().filter(status=JobStatus.SENT))
            list(Agent.objects.select_for_update())
            time.sleep(_HELD_SECONDS)


def _count_progress() -> int:
    return JobEvent.objects.filter(move=Move.PROGRESS).count()


def find_losses(folder: Path) -> list[str]:
    """Return the violations of the checker, and lines of the workloads that the database does not confirm."""
    found = [str(violation) for violation in check(folder, connection, limits=_LIMITS)]
    lines = read_lines(folder, "workloads.jsonl")
    found += message_workloads.find_losses(lines)
    found += chat_workloads.find_losses(lines)
    found += schedule_workloads.find_losses(lines)
    found += queue_workloads.find_losses(lines)
    for line in lines:
        kept = True
        match line["do"]:
            case "agent":
                kept = Agent.objects.filter(pk=line["id"]).exists()
            case "user":
                kept = User.objects.filter(pk=line["id"]).exists()
            case "token":
                kept = _is_known(line["token"])
            case "no token":
                kept = not _is_known(line["token"])
            case "no identity":
                kept = not ChatIdentity.objects.filter(pk=line["id"]).exists()
            case "log":
                sizes = JobLogChunk.objects.filter(job_id=line["id"]).values_list("size_bytes", flat=True)
                kept = sum(sizes) >= line["size"]
        if not kept:
            found.append(f"lost: {line}")
    with_token = set(AgentToken.objects.filter(revoked_at=None).values_list("agent_id", flat=True))
    for agent in Agent.objects.prefetch_related("names"):
        if agent.deleted_at is None and agent.pk not in with_token:
            found.append(f"agent {agent.pk}: no token")
        if (agent.deleted_at is not None) == bool(agent.names.all()):
            found.append(f"agent {agent.pk}: names and deletion do not fit")
    for number in [first_broken_entry()]:
        if number is not None:
            found.append(f"audit trail: broken at {number}")
    return found


def _is_known(token: str) -> bool:
    try:
        credentials.identify(token)
    except Unauthorized:
        return False
    return True


def _answer(value: object) -> None:
    print(json.dumps({"answer": value}), flush=True)


def _carry_out(runner: Runner, order: dict[str, Any]) -> None:
    match order:
        case {"do": "kill", "point": point, "kills": kills, "folder": folder}:
            _answer(runner.kill(point, kills, Path(folder)))
            return
        case {"do": "serve"}:
            _answer(runner.serve())
            return
        case {"do": "stop"}:
            _answer(runner.stop())
            return
        case {"do": "people"}:
            child = _fork(runner.people)
        case {"do": "check", "folder": folder}:
            child = _fork(lambda: _answer(find_losses(Path(folder))))
        case _:
            raise SystemExit(__doc__)
    if _wait(child, seconds=60) != 0:
        print(json.dumps({"error": f"{order} could not be carried out"}), flush=True)


def main() -> None:
    """Carry out orders until stdin ends."""
    runner = Runner()
    try:
        for line in sys.stdin:
            _carry_out(runner, json.loads(line))
    finally:
        if runner.web:
            _end(runner.web)


if __name__ == "__main__":
    main()
