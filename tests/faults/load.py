"""The load on the product during faults: paced submitters and old clients, each with its journal.

The old client follows the original: a request timeout of three seconds, a poll every second (the original: every ten),
one job at a time, a report without retries, no memory of ids.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.api.old_client import Ended, OldConnection
from tests.faults.journal import Journal

POLL_SECONDS = 0.7
# Longer than any fault: a submission is given up only if the product does not recover.
_GIVE_UP_SECONDS = 90.0
_TRY_SECONDS = 4.0
_PAUSE_SECONDS = 0.3
TTL_SECONDS = 300
_LONG_SECONDS = 8.0


def _post(
    base: str, path: str, body: Any, headers: Mapping[str, str], seconds: float
) -> tuple[int | None, http.client.HTTPMessage | None, bytes]:
    """Return status, headers and body; a status of None means no answer."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=seconds)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except (OSError, http.client.HTTPException):
        return None, None, b""
    finally:
        connection.close()


class _Worker(threading.Thread):
    """A thread that repeats `work` until `finish`."""

    def __init__(self, journal: Path) -> None:
        super().__init__(daemon=True)
        self.journal = Journal(journal)
        self.stopping = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Repeat the work; keep an exception for `finish`."""
        try:
            while not self.stopping.is_set():
                self.work()
        except BaseException as error:
            self.error = error

    def work(self) -> None:
        """Do the work once."""
        raise NotImplementedError

    def finish(self) -> None:
        """Stop, and raise the exception that ended the thread early."""
        self.stopping.set()
        self.join(_GIVE_UP_SECONDS + _TRY_SECONDS)
        self.journal.close()
        if self.error is not None:
            raise self.error


class Submitter(_Worker):
    """Submits jobs for one agent, `pause` seconds apart; retries each until it is answered."""

    def __init__(self, base: str, token: str, agent: str, journal: Path, *, pause: float, long_ones: bool) -> None:
        super().__init__(journal)
        self._base, self._agent = base, agent
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pause, self._long_ones = pause, long_ones
        self.accepted = 0
        self.given_up = 0

    def work(self) -> None:
        """Submit one job; one in five as the old clients do, without a key and without retries."""
        name = uuid.uuid4().hex[:12]
        chance = random.random()
        seconds = _LONG_SECONDS if self._long_ones and chance < 0.03 else 0.3 if chance < 0.3 else 0.0
        message = f"work {seconds} {name}"
        if random.random() < 0.2:
            self._send_old(message)
        else:
            self._send(message, key=f"key-{name}")
        self.stopping.wait(self._pause * random.uniform(0.5, 1.5))

    def _send_old(self, message: str) -> None:
        body = {"message": f"{self._agent} {message}"}
        status, headers, _body = _post(self._base, "/job/add", body, self._headers, 3.0)
        location = headers.get("Location", "") if headers is not None else ""
        self._note(None, message, status, location.rpartition("/")[2] or None)

    def _send(self, message: str, *, key: str) -> None:
        body = {"agent": self._agent, "message": message, "ttl": TTL_SECONDS}
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            headers = {**self._headers, "Idempotency-Key": key}
            status, _headers, text = _post(self._base, "/jobs", body, headers, _TRY_SECONDS)
            job_id = json.loads(text)["id"] if status in (200, 201) else None
            self._note(key, message, status, job_id)
            if status is not None and status != 503:
                return
            if time.monotonic() > deadline:
                self.given_up += 1
                return
            time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))

    def _note(self, key: str | None, message: str, status: int | None, job_id: str | None) -> None:
        self.journal.note("submit", key=key, agent=self._agent, message=message, status=status, id=job_id)
        self.accepted += status is not None and 200 <= status < 300


class OldAgent(_Worker):
    """An old client with its journal. `crash` makes it lose its current job."""

    def __init__(self, base: str, token: str, name: str, journal: Path) -> None:
        super().__init__(journal)
        self._connection = OldConnection(base, token)
        self._name = name
        self._crashed = threading.Event()

    def crash(self) -> None:
        """Act as if killed and started again: forget the current job and do not report it."""
        self._crashed.set()

    def finish(self) -> None:
        """Stop, close the connection, and raise the exception that ended the thread early."""
        try:
            super().finish()
        finally:
            self._connection.close()

    def work(self) -> None:
        """Poll once. Raises Ended on an answer on which the original exits."""
        self.stopping.wait(POLL_SECONDS * random.uniform(0.8, 1.2))
        self._crashed.clear()
        try:
            status, body = self._connection.call("GET", "/agent/job")
        except OSError:
            return
        if status == 401:
            raise Ended(f"the token of {self._name} was refused: {body!r}")
        if status != 200:
            return
        try:
            job = json.loads(body)
            job_id, message = job["id"], job["message"]
        except (ValueError, KeyError, TypeError) as error:
            raise Ended(f"a 200 without a job: {body!r}") from error
        self.journal.note("claimed", agent=self._name, id=job_id)
        self.journal.note("started", agent=self._name, id=job_id)
        if self._crashed.wait(float(message.split()[1])):
            self._connection.close()
            return
        self.journal.note("ended", agent=self._name, id=job_id)
        self._report(job_id, message)

    def _report(self, job_id: str, message: str) -> None:
        kind = "fail" if random.random() < 0.1 else "succeed"
        text = f"did {message}"
        status: int | None = None
        try:
            status, _body = self._connection.call("PUT", f"/agent/jobs/{job_id}/{kind}", {"result": text})
        except OSError:
            status = None
        self.journal.note("report", agent=self._name, id=job_id, kind=kind, status=status, text=text)


class Load:
    """All clients of one product."""

    def __init__(
        self,
        base: str,
        *,
        user_token: str,
        agents: Mapping[str, str],
        old: tuple[str, ...],
        evidence: Path,
        pause: float,
        submitters: int = 1,
    ) -> None:
        """`agents`: every agent's token by name; the ones in `old` run here as old clients.

        `submitters`: number for each agent.
        """
        self.submitters = [
            Submitter(
                base, user_token, name, evidence / f"submit-{name}-{at}.jsonl", pause=pause, long_ones=name not in old
            )
            for name in agents
            for at in range(submitters)
        ]
        self.old_agents = [OldAgent(base, agents[name], name, evidence / f"old-{name}.jsonl") for name in old]
        for worker in (*self.submitters, *self.old_agents):
            worker.start()

    @property
    def accepted(self) -> int:
        """The number of jobs that were answered with 2xx."""
        return sum(submitter.accepted for submitter in self.submitters)

    def stop_submitting(self) -> int:
        """Stop the submitters; return how many submissions were given up. Raises the exception that ended one early."""
        for submitter in self.submitters:
            submitter.stopping.set()
        for submitter in self.submitters:
            submitter.finish()
        return sum(submitter.given_up for submitter in self.submitters)

    def stop(self) -> None:
        """Stop the old clients. Raises the exception that ended one early."""
        for agent in self.old_agents:
            agent.stopping.set()
        for agent in self.old_agents:
            agent.finish()
