"""`python -m tests.faults.failpoint_runner` runs the product in child processes that failpoints kill. One order a line.

An order is a JSON object on stdin, its answer a line of JSON on stdout: {"answer": ...}, or {"error": text}.

    {"do": "people"}                                    forget all jobs; a user's token, an agent's name and token
    {"do": "kill", "point": P, "kills": N, "folder": F} how many of N children died at the point
    {"do": "serve"}, {"do": "stop"}                     a web process nothing happens to; its end
    {"do": "check", "folder": F}                        what is broken of the promises in the folder's journals

Whatever touches the database does so in a child: this process has neither a connection nor a thread, so that a fork is
as good as a new interpreter and costs a hundredth of it. The web children take turns at one socket that never closes:
a caller who comes between two of them waits.
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
from jobs.models import DelayedJob, Job, JobEvent, JobLogChunk, JobOutput, Queue, Schedule, ScheduleRun  # noqa: E402
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
from tests.faults.workloads import act_for  # noqa: E402

_RARE = ("writer.one_by_one", "put_back")
_DIES_WITHIN_SECONDS = 90.0
_HELD_SECONDS = 2.3  # longer than the writer is patient
_REPORTS_ON_THEIR_WAY = 3
_LOOK_SECONDS = 0.02
# Nobody sweeps here, so nothing has to end in time.
_LIMITS = Limits(at_rest=False, sweep=1_000_000)


def _fork(body: Callable[[], object]) -> int:
    """Run the body in a child, which ends with it; return the child's number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        body()
        status = 0
    except Exception:
        # The top of the child: what went wrong there is in the log, and the parent sees the status.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _wait(child: int, *, seconds: float) -> int:
    """Return how a child ended, after ending it where it took longer."""
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


class Workshop:
    """Carries out orders, with children."""

    def __init__(self) -> None:
        self.listener = WebPort(host=settings.HOST, port=settings.PORT, shared=False).take()
        self.web = 0

    def people(self) -> None:
        """Print the answer of `people`."""
        for table in (JobLogChunk, JobOutput, JobEvent, Job, DelayedJob, ScheduleRun, Schedule, Queue):
            table._default_manager.all()._raw_delete(connection.alias)
        owner = make_user(f"u{new_id()}")
        agent, agent_token = create_agent(owner=owner, name="worker", actor="test")
        user_token = mint_user_token(user=owner, scope=TokenScope.FULL, actor="test")
        _answer({"user_token": user_token, "agent": agent.pk, "agent_token": agent_token})

    def kill(self, point: str, kills: int, folder: Path) -> int:
        """Let children die at the point; return how many have left their line in `told`."""
        told = folder / "told"
        for at in range(kills):
            # Not always at the first time, when everything is new; some are rarely reached.
            number = 1 if point.startswith(_RARE) else at % 3 + 1
            if self._kill_one(point, f"{point}:{number}:{told}", folder) != -signal.SIGKILL:
                break
        return len(told.read_text(encoding="utf-8").splitlines()) if told.exists() else 0

    def _kill_one(self, point: str, armed: str, folder: Path) -> int:
        act = act_for(point)
        if act is not None:
            return _wait(_fork(lambda: _act(act, armed, folder / "workloads.jsonl")), seconds=_DIES_WITHIN_SECONDS)
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
        """Start a web process nothing happens to."""
        self.web = _fork(lambda: self._serve(""))

    def stop(self) -> bool:
        """End it politely; tell whether it ended by that."""
        os.kill(self.web, signal.SIGTERM)
        child, self.web = self.web, 0
        # uvicorn stops, and then dies of the signal as its caller expects.
        return _wait(child, seconds=_DIES_WITHIN_SECONDS) == -signal.SIGTERM

    def _serve(self, armed: str) -> None:
        arm(armed)
        make_server(host=settings.HOST, port=settings.PORT).run(sockets=[self.listener])


def _act(act: Callable[[Journal], None], armed: str, path: Path) -> None:
    arm(armed)
    journal = Journal(path)
    while True:
        act(journal)


def _hold() -> None:
    """Keep rows locked for longer than the writer is patient, so that its batch fails as a whole, again and again."""
    while True:
        # Of such a batch only reports are tried again: begin when some are on their way.
        before = _count_progress()
        while _count_progress() < before + _REPORTS_ON_THEIR_WAY:
            time.sleep(_LOOK_SECONDS)
        # SQLite gives the whole database to a transaction as it begins, MariaDB these rows.
        with transaction.atomic():
            list(Job.objects.select_for_update().filter(status=JobStatus.SENT))
            list(Agent.objects.select_for_update())
            time.sleep(_HELD_SECONDS)


def _count_progress() -> int:
    return JobEvent.objects.filter(move=Move.PROGRESS).count()


def broken_promises(folder: Path) -> list[str]:
    """Return what the checker finds, and what the database does not keep of what the checker knows nothing of."""
    found = [str(violation) for violation in check(folder, connection, limits=_LIMITS)]
    lines = read_lines(folder, "workloads.jsonl")
    found += message_workloads.broken_promises(lines)
    found += chat_workloads.broken_promises(lines)
    found += schedule_workloads.broken_promises(lines)
    found += queue_workloads.broken_promises(lines)
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
            found.append(f"not kept: {line}")
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


def _carry_out(shop: Workshop, order: dict[str, Any]) -> None:
    match order:
        case {"do": "kill", "point": point, "kills": kills, "folder": folder}:
            _answer(shop.kill(point, kills, Path(folder)))
            return
        case {"do": "serve"}:
            _answer(shop.serve())
            return
        case {"do": "stop"}:
            _answer(shop.stop())
            return
        case {"do": "people"}:
            child = _fork(shop.people)
        case {"do": "check", "folder": folder}:
            child = _fork(lambda: _answer(broken_promises(Path(folder))))
        case _:
            raise SystemExit(__doc__)
    if _wait(child, seconds=60) != 0:
        print(json.dumps({"error": f"{order} could not be carried out"}), flush=True)


def main() -> None:
    """Carry out orders until nobody gives any."""
    shop = Workshop()
    try:
        for line in sys.stdin:
            _carry_out(shop, json.loads(line))
    finally:
        if shop.web:
            _end(shop.web)


if __name__ == "__main__":
    main()
