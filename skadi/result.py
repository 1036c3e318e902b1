"""The content of a report: the output as clean text, and how the command ended, in the words of the original."""

from __future__ import annotations

import os
import signal
from typing import Any, Iterable, Mapping

from skadi.redaction import redact
from skadi.textstream import GAP, TextStream, clean
from skadi.values import duration_text

MAX_RESULT_BYTES = 1024 * 1024


def clean_output(data: bytes, head: int | None, secrets: Iterable[str]) -> str:
    """Return output as clean text. `head` is the offset where the middle is missing, or None."""
    stream = TextStream(secrets)
    if head is None or head >= len(data):
        return stream.feed(data) + stream.finish()
    return stream.feed(data[:head]) + stream.gap() + stream.feed(data[head:]) + stream.finish()


def _trim_partial_end(data: bytes) -> bytes:
    """Return the bytes without an incomplete UTF-8 character at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < needed else data
        if byte < 0x80:
            return data
    return data


def _trim_partial_start(data: bytes) -> bytes:
    """Return the bytes without an incomplete UTF-8 character at the start."""
    skip = 0
    while skip < min(3, len(data)) and 0x80 <= data[skip] < 0xC0:
        skip += 1
    return data[skip:]


def shorten(text: str, limit: int = MAX_RESULT_BYTES) -> tuple[str, bool]:
    """Keep the head and tail of a text, at most `limit` bytes of UTF-8. Also return whether something was left out."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text, False
    mark = GAP.encode("ascii")
    half = half_of(limit)
    return (_trim_partial_end(data[:half]) + mark + _trim_partial_start(data[-half:])).decode("utf-8", "replace"), True


def half_of(limit: int) -> int:
    """Return how many bytes `shorten` keeps of the head, and of the tail."""
    return max((limit - len(GAP)) // 2, 1)


def read_output(path: str, head: int | None) -> tuple[bytes, int | None]:
    """Read the output, at most what a report can carry, and the offset where the middle is missing."""
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length <= MAX_RESULT_BYTES:
                return file.read(), head
            half = MAX_RESULT_BYTES // 2
            first = file.read(half)
            file.seek(length - half)
            return first + file.read(half), half
    except OSError:
        return b"", None


def failure_sentence(end: Mapping[str, Any], timeout: float) -> str:
    """Return the failure in the words of the original, such as `exit status 1` or `signal: killed`."""
    reason, number = end.get("reason"), end.get("signal")
    if reason == "timeout":
        return f"timeout after {duration_text(timeout)}"
    if reason == "interrupted":
        return "interrupted because the agent was stopped"
    if reason == "canceled":
        return "canceled by its owner"
    if reason == "cannot_start":
        return str(end.get("error"))
    if isinstance(number, int):
        return f"signal: {(signal.strsignal(number) or str(number)).lower()}"
    if end.get("rc") is None:
        return "its end is not known"
    return "exit status {}".format(end.get("rc"))


def log_limit(job: Mapping[str, Any]) -> int:
    """Return how many bytes of log are sent for a job at most, by its `job.json`."""
    output = job.get("output")
    return min(output, MAX_RESULT_BYTES) if isinstance(output, int) else MAX_RESULT_BYTES


def log_of_run(folder: str, end: Mapping[str, Any], limit: int, secrets: Iterable[str]) -> str:
    """Return the complete log of a command that ended, at most `limit` bytes of UTF-8."""
    data, head = read_output(os.path.join(folder, "out.log"), _head(end))
    return shorten(clean_output(data, head, secrets), limit)[0]


def report_of_answer(text: str, ok: bool, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Return the report of a job for which no command ran."""
    result, truncated = shorten(redact(clean(text), secrets))
    return {"kind": "succeed" if ok else "fail", "body": {"result": result, "truncated": truncated}}


def report_of_confirmation(entry: str) -> dict[str, Any]:
    """Return the report of a job that its owner must confirm before it runs. The server acts on the reason."""
    sentence = f"{entry} must be confirmed first, nothing has run"
    return {"kind": "fail", "body": {"result": clean(sentence), "truncated": False, "reason": "confirm"}}


def report_of_run(
    folder: str,
    end: Mapping[str, Any],
    timeout: float,
    secrets: Iterable[str] = (),
    limit: int = MAX_RESULT_BYTES,
) -> dict[str, Any]:
    """Return the report of a command. `end` is its `exit.json`, `limit` the one of its log, see `log_limit`."""
    data, head = read_output(os.path.join(folder, "out.log"), _head(end))
    output = clean_output(data, head, secrets)
    ok = end.get("reason") == "exit" and end.get("rc") == 0
    sentence = "" if ok else f"run command failed, {redact(failure_sentence(end, timeout), secrets)} : "
    result, shortened = shorten(sentence + output)
    body: dict[str, Any] = {"result": result, "truncated": bool(end.get("truncated")) or shortened or head is not None}
    extra = {
        "exit_code": end.get("rc"),
        "signal": end.get("signal"),
        "reason": None if ok else end.get("reason"),
        "started_at": end.get("started"),
        "finished_at": end.get("finished"),
        "log_size": len(shorten(output, limit)[0].encode("utf-8")),
    }
    body.update({key: value for key, value in extra.items() if value is not None})
    return {"kind": "succeed" if ok else "fail", "body": body}


def _head(end: Mapping[str, Any]) -> int | None:
    head = end.get("head")
    return head if isinstance(head, int) else None
