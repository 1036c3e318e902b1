"""The rows of the table: how each call is prepared and made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devtools.trace.product import AGENT, PASSWORD, USERNAME, Answer, Client
from devtools.trace.recorder import Recorder, Recording

OUTBOX_TABLE = "notifications_delivery"
_SETTLE_SECONDS = 0.2
_BELLS_SECONDS = 0.1
# Background tasks run at regular intervals, so runs at irregular intervals do not meet the same one each time.
_APART_SECONDS = 0.11

Send = Callable[[], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A call of the table. `prepare` brings the product to where the returned function makes the call."""

    name: str
    status: int
    prepare: Callable[[], Awaitable[Send]]
    to_outbox: bool = False


class Calls:
    """The calls of one user and one agent."""

    def __init__(self, client: Client, *, user_token: str, agent_token: str) -> None:
        self._client = client
        self._user, self._agent = user_token, agent_token
        self._has_channel = False

    async def begin(self) -> None:
        """Bring the agent online and log in to the console."""
        _expect(204, await self._client.call("GET", "/agent/job", token=self._agent))
        csrf_token = await self._client.csrf_token("/console/login")
        login = await self._client.submit("/console/login", csrf_token, username=USERNAME, password=PASSWORD)
        _expect(302, login)

    def rows(self) -> list[Row]:
        """Return the table's rows."""
        return [
            Row(name="POST /jobs", status=201, prepare=self._to_send_a_job),
            Row(name="GET /agent/job", status=200, prepare=self._to_take_a_job),
            Row(name="PUT /agent/jobs/{id}/succeed", status=204, prepare=self._to_report),
            Row(name="POST /delayed-jobs", status=201, prepare=self._to_delay_a_job),
            Row(name="report to outbox row", status=204, prepare=self._to_report_with_notice, to_outbox=True),
            Row(name="a chat line to a job", status=302, prepare=self._to_chat),
        ]

    async def measure(self, row: Row, recorder: Recorder, *, runs: int) -> list[Recording]:
        """Make the call once to warm up and `runs` times to be counted."""
        recordings = []
        for number in range(runs + 1):
            await asyncio.sleep(number * _APART_SECONDS)
            await self._finish_jobs()
            send = await row.prepare()
            await asyncio.sleep(_SETTLE_SECONDS)
            with recorder.recording() as recording:
                answer = await send()
                await asyncio.sleep(_BELLS_SECONDS)
                if row.to_outbox:
                    # A worker does this right after the report. Imported late: Django is set up by now.
                    from jobs.watch.service import evaluate_ends

                    await asyncio.to_thread(evaluate_ends)
            _expect(row.status, answer)
            recordings.append(recording.until_insert() if row.to_outbox else recording)
        return recordings[1:]

    async def _finish_jobs(self) -> None:
        while (taken := await self._client.call("GET", "/agent/job", token=self._agent)).status == 200:
            _expect(204, await self._report(taken.json()["id"]))

    async def _job(self, **fields: object) -> Answer:
        body = {"agent": AGENT, "message": "date", **fields}
        return await self._client.call("POST", "/jobs", body, token=self._user)

    async def _take(self) -> Answer:
        return await self._client.call("GET", "/agent/job", token=self._agent)

    async def _report(self, job_id: str) -> Answer:
        return await self._client.call("PUT", f"/agent/jobs/{job_id}/succeed", {"result": "ok"}, token=self._agent)

    async def _to_send_a_job(self) -> Send:
        # The gateway then knows the token; it forgets it twice a second while the user is new.
        _expect(404, await self._client.call("GET", "/jobs/none", token=self._user))
        return self._job

    async def _to_take_a_job(self) -> Send:
        _expect(201, await self._job())
        return self._take

    async def _to_report(self, **fields: object) -> Send:
        _expect(201, await self._job(**fields))
        # The bell that makes the job visible to a poll may come a moment after the answer.
        taken = await self._client.call("GET", "/agent/job?wait=5", token=self._agent)
        _expect(200, taken)
        return lambda: self._report(taken.json()["id"])

    async def _to_report_with_notice(self) -> Send:
        # Only now, because every report makes a message for an owner who has a channel.
        if not self._has_channel:
            channel = {"name": "hook", "driver": "webhook", "settings": {"url": "https://hooks.example/"}}
            _expect(201, await self._client.call("POST", "/channels", channel, token=self._user))
            self._has_channel = True
        return await self._to_report(notify={"when": "always"})

    async def _to_delay_a_job(self) -> Send:
        body = {"agent": AGENT, "message": "date", "delay": "1h"}
        return lambda: self._client.call("POST", "/delayed-jobs", body, token=self._user)

    async def _to_chat(self) -> Send:
        csrf_token = await self._client.csrf_token("/console/chat")
        return lambda: self._client.submit("/console/chat", csrf_token, text=f"{AGENT} date")


def _expect(status: int, answer: Answer) -> None:
    if answer.status != status:
        raise RuntimeError(f"answered {answer.status}, not {status}: {answer.body.decode(errors='replace')[:500]}")
