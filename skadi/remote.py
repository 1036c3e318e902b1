"""`skadi run AGENT TEXT`: send a job to an agent, show its output as it comes, and exit as its command did.

The user's token comes from SKADI_TOKEN only, because every user of a machine can read a command line.

One thread submits and follows the job, and the main thread waits for signals. At the first signal a third thread
cancels the job, while its last lines still come. The second signal exits at once.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import uuid
from typing import Any, Callable, Mapping, Sequence
from urllib.parse import quote

from skadi import pace
from skadi.client import TRY_AGAIN, Client, Reply, Unreachable
from skadi.exit_codes import EXIT_CONFIG, EXIT_FAILED
from skadi.journal import JOB_ID
from skadi.run_request import RunExit, RunRequest, read_run_request
from skadi.safe_text import ACTING, one_line

HOLD_SECONDS = 25
MAX_LOG_BYTES = 1024 * 1024  # an answer with a part of the log may have this size
REQUEST_SECONDS = 15.0
LONGEST_RETRY = 15.0
NOTICE_SECONDS = 10.0  # print a notice when the server has been away this long, and again after as much time
EXIT_CANCELED = 130
EXIT_PIPE = 128 + signal.SIGPIPE


class Follower:
    """Submit the job and follow it to its end. `show` prints text of the job, `show_notice` a sentence for the user."""

    def __init__(self, request: RunRequest, show: Callable[[str], None], show_notice: Callable[[str], None]) -> None:
        self.request = request
        self.show = show
        self.show_notice = show_notice
        self.client = Client(request.server, request.token, most_bytes=MAX_LOG_BYTES)
        self.until = None if request.timeout is None else time.monotonic() + request.timeout
        self.job_id = ""
        self.submitted = threading.Event()

    def run(self) -> None:
        """Work until the end. Always raises RunExit."""
        self._submit()
        raise self._end(self._follow())

    def cancel(self) -> None:
        """Cancel the job, with retries until the server answers. Call it in a thread of its own."""
        self.submitted.wait()
        client = Client(self.request.server, self.request.token)
        failures = 0
        while True:
            try:
                reply = client.request("POST", f"/jobs/{quote(self.job_id)}/cancel", {}, seconds=REQUEST_SECONDS)
            except Unreachable:
                reply = None
            if reply is not None and not _is_temporary(reply):
                break
            failures += 1
            time.sleep(_retry_delay(reply, failures))
        client.close()
        if reply.status >= 300 and reply.error_code() != "JobFinished":
            self.show_notice(f"the job was not canceled: {_server_message(reply)}")

    def _submit(self) -> None:
        body: dict[str, Any] = {"agent": self.request.agent, "message": self.request.message, "source": "skadi run"}
        if self.request.ttl is not None:
            body["ttl"] = self.request.ttl
        # Each retry sends the same key, so that a lost answer does not create a second job.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        reply = self._request("POST", "/jobs", body, REQUEST_SECONDS, headers)
        job = reply.json()
        if not 200 <= reply.status < 300:
            hint = " (--wait-for-agent SECONDS lets it wait)" if reply.error_code() == "InvalidAgent" else ""
            raise RunExit(EXIT_FAILED, f"the job was refused: {_server_message(reply)}{hint}")
        if not isinstance(job, dict) or not JOB_ID.match(str(job.get("id"))):
            raise RunExit(EXIT_FAILED, "the server's answer is not understood: is it a letserver?")
        self.job_id = job["id"]
        self.submitted.set()

    def _follow(self) -> dict[str, Any]:
        """Show the log to its end. Return the last answer."""
        offset = 0
        while True:
            hold = HOLD_SECONDS if self.until is None else max(0, min(HOLD_SECONDS, int(self.until - time.monotonic())))
            path = f"/jobs/{quote(self.job_id)}/log?offset={offset}&wait={hold}"
            began = time.monotonic()
            reply = self._request("GET", path, None, hold + REQUEST_SECONDS, {})
            part = reply.json()
            if reply.status != 200:
                raise RunExit(EXIT_FAILED, f"job {self.job_id} cannot be followed: {_server_message(reply)}")
            if not _is_log_part(part):
                raise RunExit(
                    EXIT_FAILED, f"job {self.job_id} cannot be followed: the server's answer is not understood"
                )
            if part["text"]:
                self.show(part["text"])
            if part["complete"]:
                answer: dict[str, Any] = part
                return answer
            if part["next"] <= offset and time.monotonic() - began < min(hold, 1):
                time.sleep(1)  # the server does not hold
            offset = part["next"]
            self._check_timeout()

    def _end(self, part: Mapping[str, Any]) -> RunExit:
        """Return our exit for the end of the job."""
        status, code = part["status"], part["exit_code"]
        if status == "succeeded":
            return RunExit(code if isinstance(code, int) else 0)
        if status == "failed" and isinstance(code, int) and 0 < code < 256:
            return RunExit(code)
        if status == "canceled":
            return RunExit(EXIT_FAILED, f"job {self.job_id} was canceled")
        if status == "expired":
            return RunExit(EXIT_FAILED, f"job {self.job_id} expired: its agent did not take it in time, or went away")
        reply = self._request("GET", f"/jobs/{quote(self.job_id)}", None, REQUEST_SECONDS, {})
        job = reply.json()
        output = job.get("output") if isinstance(job, dict) else None
        output = output if isinstance(output, dict) else {}
        number, reason = output.get("signal"), output.get("reason")
        words = {"timeout": "ran into its time limit", "interrupted": "was interrupted", "canceled": "was canceled"}
        if isinstance(number, int) and 0 < number < 128 and reason != "canceled":
            return RunExit(128 + number, f"job {self.job_id} {words[reason]}" if reason in words else "")
        if reason in words:
            return RunExit(EXIT_FAILED, f"job {self.job_id} {words[reason]}")
        lines = str(output.get("text") or "").strip().splitlines()
        said = lines[0].rstrip(" :")[:200] if lines else "its report has no text"
        return RunExit(EXIT_FAILED, f"job {self.job_id} failed without an exit code: {said}")

    def _request(self, method: str, path: str, body: Any, seconds: float, headers: Mapping[str, str]) -> Reply:
        """Send a request, with retries while the server is away or busy. Raises RunExit for a refused token."""
        failures, away_since, noticed_at = 0, time.monotonic(), time.monotonic()
        while True:
            try:
                reply = self.client.request(method, path, body, seconds=seconds, headers=headers)
                trouble = f"answers {reply.status}"
            except Unreachable as error:
                reply, trouble = None, f"cannot be reached ({error})"
            if reply is not None and not _is_temporary(reply):
                break
            failures += 1
            now = time.monotonic()
            if now - noticed_at >= NOTICE_SECONDS:
                noticed_at = now
                self.show_notice(f"the server {trouble}, for {now - away_since:.0f} s now; still trying")
            self._check_timeout()
            time.sleep(_retry_delay(reply, failures))
        if reply.status in (401, 403) or reply.error_code() == "InvalidToken":
            raise RunExit(EXIT_CONFIG, f"the server refuses SKADI_TOKEN: {_server_message(reply)}")
        return reply

    def _check_timeout(self) -> None:
        if self.until is not None and time.monotonic() >= self.until:
            where = f"job {self.job_id} goes on without us" if self.job_id else "the server may have taken it"
            raise RunExit(
                EXIT_FAILED, f"the job did not end within --timeout of {self.request.timeout or 0:.0f} s; {where}"
            )


def _is_temporary(reply: Reply) -> bool:
    """Return whether a retry may get another answer."""
    return reply.status >= 500 or reply.status in TRY_AGAIN


def _retry_delay(reply: Reply | None, failures: int) -> float:
    asked = reply.retry_after(pace.LONGEST_RETRY) if reply is not None else None
    return pace.back_off(failures, LONGEST_RETRY) if asked is None else asked


def _server_message(reply: Reply) -> str:
    """Return the server's message in one line, or the status without one."""
    body = reply.json()
    sentence = body.get("message") if isinstance(body, dict) else None
    return " ".join(sentence.split())[:500] if isinstance(sentence, str) and sentence else f"status {reply.status}"


def _is_log_part(part: Any) -> bool:
    wanted = {"next": int, "text": str, "complete": bool, "status": str}
    return isinstance(part, dict) and "exit_code" in part and all(isinstance(part.get(k), t) for k, t in wanted.items())


def show_text(text: str) -> None:
    """Print text of the job at once, as UTF-8 in every locale. Old agents leave terminal commands in it; drop them."""
    sys.stdout.buffer.write(ACTING.sub("", text).encode("utf-8"))
    sys.stdout.buffer.flush()


def show_notice(text: str) -> None:
    """Print a sentence for the user on stderr."""
    sys.stderr.write(f"skadi: {one_line(text)}\n")
    sys.stderr.flush()


def run_remote(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do `skadi run AGENT TEXT...`. Return the exit code."""
    try:
        request = read_run_request(words, environment)
    except RunExit as refusal:
        show_notice(refusal.sentence)
        return refusal.code
    mailbox: queue.SimpleQueue[RunExit | None] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: mailbox.put(None))
    follower = Follower(request, show_text, show_notice)
    worker = threading.Thread(target=_follow, args=(follower, mailbox), daemon=True)
    worker.start()
    canceling = False
    while True:
        try:
            end = mailbox.get(timeout=1.0)  # on some systems a wait without a timeout blocks signals
        except queue.Empty:
            follower.client.enforce_deadline(time.monotonic())
            if not worker.is_alive() and mailbox.empty():
                show_notice("internal error: the thread that follows the job has died")
                return EXIT_FAILED
            continue
        if end is not None:
            if end.sentence:
                show_notice(end.sentence)
            return EXIT_CANCELED if canceling else end.code
        if canceling:
            return EXIT_CANCELED
        canceling = True
        show_notice("canceling the job; a second Ctrl-C leaves without waiting for its end")
        threading.Thread(target=_cancel, args=(follower,), daemon=True).start()


def _cancel(follower: Follower) -> None:
    try:
        follower.cancel()
    except Exception as error:
        show_notice(f"the job was not canceled, internal error: {type(error).__name__}: {error}")


def _follow(follower: Follower, mailbox: queue.SimpleQueue[RunExit | None]) -> None:
    try:
        follower.run()
    except RunExit as end:
        mailbox.put(end)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python fails again when it flushes stdout at exit
        mailbox.put(
            RunExit(EXIT_PIPE)
        )  # the exit code of a program that SIGPIPE ends: the reader of our output is gone
    except Exception as error:
        mailbox.put(RunExit(EXIT_FAILED, f"internal error: {type(error).__name__}: {error}"))
