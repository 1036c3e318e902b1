"""F21: four clients that share one token, on two web processes, run each job once."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lanes.live import LiveServer
from tests.waiting import until

_CLONES = 4
_SENDERS = 4
_JOBS = 2000
_DONE_WITHIN_SECONDS = 600.0

Take = Callable[[LiveServer, str], str | None]


@pytest.fixture
def webs(live_on: LiveServer) -> Iterator[list[LiveServer]]:
    other = live_on.neighbour()
    yield [live_on, other]
    other.stop()


def _ask(web: LiveServer, method: str, path: str, body: Any, token: str, **headers: str) -> tuple[int, Any]:
    """Call until the answer is not 503, which a busy machine may give."""
    while True:
        status, answer, _ = web.call(method, path, body, token=token, headers=headers)
        if status != 503:
            return status, answer
        time.sleep(0.2)


def _as_old(web: LiveServer, token: str) -> str | None:
    """Claim and finish one job as an old client; return its id, None without a job."""
    status, job = _ask(web, "GET", "/agent/job", None, token)
    if status != 200:
        assert status == 204, job
        return None
    status, answer = _ask(web, "PUT", f"/agent/jobs/{job['id']}/succeed", {"result": job["message"]}, token)
    # A retry after a 503 whose report was committed is answered JobFinished.
    assert status == 204 or answer["error"] == "JobFinished", answer
    return str(job["id"])


def _as_new(web: LiveServer, token: str) -> str | None:
    """Claim and finish one job under protocol 2; the client owns it after a 204 to its acknowledgment."""
    version = {"Skadi-Protocol": "2"}
    status, job = _ask(web, "GET", "/agent/job?wait=1", None, token, **version)
    if status != 200:
        assert status == 204, job
        return None
    path, claim = f"/agent/jobs/{job['id']}", {"offer": job["offer"], "ack": True}
    status, answer = _ask(web, "PUT", f"{path}/running", claim, token, **version)
    if status == 409:
        return None  # offered to another client meanwhile, because the machine is slow
    assert status == 204, answer
    status, answer = _ask(web, "PUT", f"{path}/succeed", {"result": job["message"]}, token, **version)
    assert status == 204, answer
    return str(job["id"])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("take", [_as_old, _as_new], ids=["old", "protocol-2"])
def test_four_clones_of_one_agent_do_each_job_once(webs: list[LiveServer], take: Take) -> None:
    user_token = webs[0].manage("create_token", "clones").strip()
    name = f"clones-{time.monotonic_ns()}"
    status, agent, _ = webs[0].call("POST", "/agents", {"name": name}, token=user_token)
    assert status == 201, agent
    sent: list[str] = []
    done: list[tuple[int, str]] = []
    numbers, over = itertools.count(), threading.Event()

    def send(at: int) -> None:
        while (number := next(numbers)) < _JOBS:
            body = {"agent": name, "message": f"job {number}", "ttl": 3600}
            key = {"Idempotency-Key": f"{name} {number}"}
            status, job = _ask(webs[at % 2], "POST", "/jobs", body, user_token, **key)
            assert status == 201, job
            sent.append(job["id"])

    def work(at: int) -> None:
        while not over.is_set():
            if (job_id := take(webs[at % 2], agent["token"])) is not None:
                done.append((at, job_id))

    with ThreadPoolExecutor(_CLONES + _SENDERS) as threads:
        try:
            clones = [threads.submit(work, at) for at in range(_CLONES)]
            for sender in [threads.submit(send, at) for at in range(_SENDERS)]:
                sender.result()
            until(lambda: len(done) >= _JOBS or any(clone.done() for clone in clones), seconds=_DONE_WITHIN_SECONDS)
        finally:
            over.set()
        for clone in clones:
            clone.result()
    shares = Counter(at for at, _job_id in done)
    print(f"{len(sent)} jobs sent, {len(done)} done by {_CLONES} clones: {sorted(shares.values())}")
    assert sorted(job_id for _at, job_id in done) == sorted(sent)
    assert len(shares) == _CLONES
    count = f"from jobs.models import Job; print(Job.objects.filter(agent__name={name!r}, status='succeeded').count())"
    assert webs[0].manage("shell", "--no-imports", "--command", count).strip() == str(_JOBS)
