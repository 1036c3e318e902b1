"""F28: the web process is restarted repeatedly under load; a client that retries failed requests loses nothing."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.lanes.live import LiveServer

_RATE = 100
_THREADS = 10
_GIVE_UP_SECONDS = 20.0


@dataclass(slots=True)
class _Tally:
    """Results of the requests. Many threads change it, one append each."""

    accepted: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def _send(live: LiveServer, token: str, agent: str, key: str, tally: _Tally) -> None:
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        try:
            status, job, _ = live.call(
                "POST",
                "/jobs",
                {"agent": agent, "message": key, "ttl": 600},
                token=token,
                headers={"Idempotency-Key": key},
                timeout=5,
            )
        except (OSError, http.client.HTTPException):
            status, job = 0, None
        if status == 201:
            tally.accepted[key] = job["id"]
            return
        if status not in (0, 503):
            break
        tally.repeated.append(key)
        time.sleep(0.2)
    tally.failed.append(key)


def _restarts_under_load(live: LiveServer, *, restarts: int, seconds: float) -> _Tally:
    token = live.manage("create_token", "restart").strip()
    agent = f"restart-{time.monotonic_ns()}"
    assert live.call("POST", "/agents", {"name": agent}, token=token)[0] == 201
    tally, numbers, stop = _Tally(), itertools.count(1), threading.Event()

    def work() -> None:
        while not stop.is_set():
            began = time.monotonic()
            _send(live, token, agent, f"{agent}-{next(numbers)}", tally)
            stop.wait(max(0.0, _THREADS / _RATE - (time.monotonic() - began)))

    threads = [threading.Thread(target=work) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for _ in range(restarts):
        time.sleep(seconds)
        live.restart()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    listed = live.manage(
        "shell",
        "--no-imports",
        "--command",
        f"from jobs.models import Job; print(*Job.objects.filter(agent__name={agent!r}).values_list('pk', flat=True))",
    ).split()
    print(f"{restarts} restarts, {len(tally.accepted)} accepted, {len(tally.repeated)} repeated, 0 may fail")
    assert tally.failed == []
    assert sorted(listed) == sorted(tally.accepted.values())
    return tally


@pytest.mark.mariadb_only  # SQLite has the long form: both lanes share ten minutes
def test_restarts_under_load_fail_no_request_that_is_repeated(live_on: LiveServer) -> None:
    tally = _restarts_under_load(live_on, restarts=2, seconds=1.0)
    assert len(tally.accepted) > 50
    assert tally.repeated, "no restart was felt"


@pytest.mark.long
def test_ten_restarts_at_a_hundred_requests_a_second(live_on: LiveServer) -> None:
    tally = _restarts_under_load(live_on, restarts=10, seconds=4.0)
    assert len(tally.accepted) > 1500
    assert tally.repeated
