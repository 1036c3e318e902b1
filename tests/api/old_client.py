"""A sender and an agent as the original SDK of 2021-2023 wrote them; standard library only.

    python tests/api/old_client.py BASE USER_TOKEN AGENT_TOKEN N [AGENT_NAME]

sends N jobs, lets the agent run them, and prints the duration. AGENT_NAME defaults to the agent that was seen last.

Its old habits: a timeout of three seconds for a request; one keep-alive connection; the header `Content-Type:
application/json` on every request, GET too; a poll without `wait`; no retry of a report; it exits on 401, and on a 200
without a job.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0
# The original waits ten seconds, too long for a test.
PAUSE_SECONDS = 0.01


class Ended(Exception):
    """The old agent exits."""


class OldConnection:
    """One keep-alive connection; `opened` counts how often it was opened."""

    def __init__(self, base: str, token: str) -> None:
        self._netloc = urlsplit(base).netloc
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None
        self.opened = 0

    def call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Return status and body. Raises OSError if there is no answer in time."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._netloc, timeout=TIMEOUT_SECONDS)
            self.opened += 1
        data = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, path, body=data, headers=self._headers)
            response = self._connection.getresponse()
            answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise OSError(str(error)) from error
        if response.will_close:
            self.close()
        return answer

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class OldAgent:
    """Polls, runs, reports. `done` has the texts of its jobs in the order in which it got them."""

    def __init__(self, base: str, token: str) -> None:
        self.connection = OldConnection(base, token)
        self.done: list[str] = []
        self.failures = 0

    def poll(self) -> bool:
        """Claim and run one job; return whether there was one. Raises Ended where the original exits."""
        try:
            status, body = self.connection.call("GET", "/agent/job")
        except OSError:
            self.failures += 1
            return False
        if status == 401:
            raise Ended("the token was refused")
        if status != 200:
            self.failures += status != 204
            return False
        try:
            job = json.loads(body)
            job_id, message = job["id"], job["message"]
        except (ValueError, KeyError, TypeError) as error:
            raise Ended("a 200 without a job") from error
        self.done.append(message)
        self._report(job_id, {"result": f"did {message}"})
        return True

    def _report(self, job_id: str, body: object) -> None:
        try:
            status, _body = self.connection.call("PUT", f"/agent/jobs/{job_id}/succeed", body)
        except OSError:
            status = 0
        self.failures += status != 204

    def work(self, count: int) -> None:
        """Poll until `count` jobs are done."""
        while len(self.done) < count:
            if not self.poll():
                time.sleep(PAUSE_SECONDS)


def send(base: str, token: str, agent_name: str, count: int) -> int:
    """Send `count` jobs as the original SDK does; return how many were refused."""
    connection = OldConnection(base, token)
    refused = 0
    for number in range(count):
        status, _body = connection.call("POST", "/job/add", {"message": f"{agent_name} job {number}"})
        refused += status != 201
    connection.close()
    return refused


def last_seen_agent(base: str, token: str) -> str:
    """Return the name of the agent that was seen last."""
    connection = OldConnection(base, token)
    _status, body = connection.call("GET", "/agents")
    connection.close()
    agents = json.loads(body)["items"]
    return str(max(agents, key=lambda agent: agent["last_seen_at"] or "")["name"])


def main(arguments: list[str]) -> int:
    """Run both sides and print the result."""
    base, user_token, agent_token, count = arguments[0], arguments[1], arguments[2], int(arguments[3])
    agent = OldAgent(base, agent_token)
    agent.poll()
    before = len(agent.done)
    name = arguments[4] if len(arguments) > 4 else last_seen_agent(base, user_token)
    began = time.monotonic()
    sender = threading.Thread(target=send, args=(base, user_token, name, count))
    sender.start()
    agent.work(before + count)
    sender.join()
    agent.connection.close()
    seconds = time.monotonic() - began
    print(f"{count} jobs in {seconds:.1f} s, {agent.failures} failures, {agent.connection.opened} connections")
    return 1 if agent.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
