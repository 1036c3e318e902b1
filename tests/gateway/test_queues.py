"""Queues on real processes: a parked program is woken, and a kill between attempts loses none."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.mounts import both_mounts
from tests.gateway.test_live import Pair
from tests.lanes.live import LiveServer
from tests.waiting import until

_numbers = itertools.count(1)


class _Owner:
    """A user with a queue on a live server."""

    def __init__(self, live: LiveServer, **settings: Any) -> None:
        self.live = live
        self.pair = Pair(live)
        self.queue = f"/queues/live-{next(_numbers)}"
        target = {"agent": self.pair.agent} if settings.pop("on_agent", False) else {}
        assert self("PUT", self.queue, target | settings)[0] == 201

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, answer, _headers = self.live.call(method, path, body, token=self.pair.user_token)
        return status, answer


@both_mounts
def test_a_program_that_waits_gets_the_job_when_it_comes(live: LiveServer) -> None:
    owner = _Owner(live)
    with ThreadPoolExecutor(1) as threads:
        parked = threads.submit(owner, "GET", f"{owner.queue}/next?wait=20")
        assert owner("GET", f"{owner.queue}/next") == (204, None)
        status, job = owner("POST", f"{owner.queue}/jobs", {"message": "x"})
        assert status == 201, job
        status, taken = parked.result(10)
    assert (status, taken["id"], taken["offer"]) == (200, job["id"], 1)
    status, ended = owner("POST", f"{owner.queue}/jobs/{job['id']}/ack", {"ok": True, "offer": 1})
    assert (status, ended["status"]) == (200, "succeeded")
    assert owner("GET", "/queues/none/next?wait=1")[0] == 404


def test_a_large_batch_comes_through_and_a_larger_body_does_not(live: LiveServer) -> None:
    owner = _Owner(live)
    status, answer = owner("POST", f"{owner.queue}/jobs", [{"message": "x" * 1500}] * 200)
    assert (status, len(answer["items"])) == (200, 200)
    assert owner("POST", f"{owner.queue}/jobs", {"message": "x" * (4 * 1024 * 1024)})[0] == 413


def test_the_end_of_a_job_wakes_its_agent_for_the_next_of_the_queue(live_on: LiveServer) -> None:
    owner = _Owner(live_on, on_agent=True)
    first, second = (owner("POST", f"{owner.queue}/jobs", {"message": word})[1]["id"] for word in "ab")
    until(lambda: owner.pair.poll(1) == (200, {"id": first, "message": "a"}))
    with ThreadPoolExecutor(1) as threads:
        parked = threads.submit(owner.pair.poll, 20)
        path = f"/agent/jobs/{first}/succeed"
        assert live_on.call("PUT", path, {"result": ""}, token=owner.pair.agent_token)[0] == 204
        assert parked.result(7) == (200, {"id": second, "message": "b"})


@pytest.mark.parametrize(("attempts", "kill_first"), [(2, False), pytest.param(4, True, marks=pytest.mark.long)])
def test_kills_between_attempts_lose_none_and_double_none(live_on: LiveServer, attempts: int, kill_first: bool) -> None:
    """The server is killed after each acknowledged failure; the next attempt and the dead letter exist."""
    owner = _Owner(live_on, on_agent=True, retry=attempts - 1, backoff=[1])
    agent = owner.pair
    root = owner("POST", f"{owner.queue}/jobs", {"message": "x"})[1]["id"]
    ids = []
    for attempt in range(1, attempts + 1):
        if kill_first:
            live_on.kill()
            live_on.start()
        taken: dict[str, Any] = {}

        def take(taken: dict[str, Any] = taken) -> bool:
            taken.update(agent.poll(1)[1] or {})
            return bool(taken)

        until(take)
        ids.append(taken["id"])
        path = f"/agent/jobs/{taken['id']}/fail"
        assert live_on.call("PUT", path, {"result": str(attempt)}, token=agent.agent_token)[0] == 204
        live_on.kill()
        live_on.start()
    assert len(set(ids)) == attempts
    assert ids[0] == root
    rows = [owner("GET", f"/jobs/{job_id}")[1] for job_id in ids]
    wanted = [(number, "failed", attempts - number) for number in range(1, attempts + 1)]
    assert [(row["attempt"], row["status"], row["retries"]) for row in rows] == wanted
    assert [item["id"] for item in owner("GET", f"{owner.queue}/dead")[1]["items"]] == ids[-1:]
    status, stands = owner("GET", owner.queue)
    assert (status, stands["waiting"], stands["active"], stands["dead"]) == (200, 0, 0, 1)
