"""What is reported: the kept output as clean text, and how the command ended, in the words of the original."""

from __future__ import annotations

import os
import re
import signal
from typing import Any, Mapping

from skadi.values import duration_text

MAX_RESULT_BYTES = 1024 * 1024
ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def decode(data: bytes, head: int | None) -> str:
    """Text of a program: UTF-8, else GB18030, else with replacement characters.

    `head` is where bytes were left out of the middle; characters that were cut in two there are dropped.
    """
    if head is None or head >= len(data):
        return _decode_parts([data])[0]
    first, last = _decode_parts([_whole_end(data[:head]), _whole_start(data[head:])])
    return first + "\n... (output left out) ...\n" + last


def _decode_parts(parts: list[bytes]) -> list[str]:
    try:
        return [part.decode("utf-8") for part in parts]
    except UnicodeDecodeError:
        pieces = [_gb18030(part, at_start=number > 0) for number, part in enumerate(parts)]
        if None in pieces:
            return [part.decode("utf-8", "replace") for part in parts]
        return [piece or "" for piece in pieces]


def _gb18030(data: bytes, at_start: bool) -> str | None:
    """Text in GB18030, up to three bytes of a cut character dropped where the middle is missing; None if it is not."""
    for drop in range(4):
        try:
            return (data[drop:] if at_start else data[: len(data) - drop]).decode("gb18030")
        except UnicodeDecodeError:
            continue
    return None


def _whole_end(data: bytes) -> bytes:
    """Without the first bytes of a UTF-8 character at the end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < needed else data
        if byte < 0x80:
            return data
    return data


def _whole_start(data: bytes) -> bytes:
    """Without the last bytes of a UTF-8 character at the start."""
    skip = 0
    while skip < min(3, len(data)) and 0x80 <= data[skip] < 0xC0:
        skip += 1
    return data[skip:]


def clean(text: str) -> str:
    """Without colours, progress that was overwritten, and control characters other than line breaks and tabs."""
    text = ANSI.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return CONTROL.sub("", text)


def shorten(text: str, limit: int = MAX_RESULT_BYTES) -> tuple[str, bool]:
    """At most `limit` bytes of UTF-8: head and tail, cut between characters. True when something was left out."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text, False
    mark = b"\n... (output left out) ...\n"
    half = (limit - len(mark)) // 2
    return (_whole_end(data[:half]) + mark + _whole_start(data[-half:])).decode("utf-8", "replace"), True


def read_output(path: str, head: int | None) -> tuple[bytes, int | None]:
    """Kept output, not more than can be reported, and where its middle is missing."""
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
    """How it failed, as the original says it: `exit status 1`, `signal: killed`."""
    reason, number = end.get("reason"), end.get("signal")
    if reason == "timeout":
        return f"timeout after {duration_text(timeout)}"
    if reason == "interrupted":
        return "interrupted because the agent was stopped"
    if reason == "cannot_start":
        return str(end.get("error"))
    if isinstance(number, int):
        return f"signal: {(signal.strsignal(number) or str(number)).lower()}"
    if end.get("rc") is None:
        return "its end is not known"
    return "exit status {}".format(end.get("rc"))


def report_of_answer(text: str, ok: bool) -> dict[str, Any]:
    """The report on a job that needed no program."""
    result, truncated = shorten(clean(text))
    return {"kind": "succeed" if ok else "fail", "body": {"result": result, "truncated": truncated}}


def report_of_run(folder: str, end: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The report on a command that ended: `end` is its `exit.json`."""
    head = end.get("head")
    data, head = read_output(os.path.join(folder, "out.log"), head if isinstance(head, int) else None)
    output = clean(decode(data, head))
    ok = end.get("reason") == "exit" and end.get("rc") == 0
    text = output if ok else f"run command failed, {failure_sentence(end, timeout)} : {output}"
    result, shortened = shorten(text)
    body: dict[str, Any] = {"result": result, "truncated": bool(end.get("truncated")) or shortened or head is not None}
    extra = {
        "exit_code": end.get("rc"),
        "signal": end.get("signal"),
        "reason": None if ok else end.get("reason"),
        "started_at": end.get("started"),
        "finished_at": end.get("finished"),
    }
    body.update({key: value for key, value in extra.items() if value is not None})
    return {"kind": "succeed" if ok else "fail", "body": body}
