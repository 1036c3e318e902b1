"""The data folder of one embedded instance: its lock, its private files, its logs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from letserver.private import NotOurs, claim_folder, refuse_foreign
from letserver.up.words import Refusal, tell_tightened

_LOG_BYTES = 5 * 1024 * 1024
# A supervisor killed with -9 leaves children that the kernel ends within milliseconds, and they hold the lock.
_LOCK_SECONDS = 2.0
_ENVIRONMENT = "environment"
_SECRET_KEY = "LETSERVER_SECRET_KEY"  # noqa: S105 - the name of a variable


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; after a crash either the old or the whole new text is there."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_data_folder(data: Path) -> None:
    """Make the folder where missing, for its owner only, and say so if others could use it. Raises Refusal."""
    try:
        tightened = claim_folder(data)
        for name in ("logs", "run", "agent"):
            (data / name).mkdir(mode=0o700, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(dir=data)
        os.close(descriptor)
        Path(probe).unlink()
    except NotOurs as error:
        raise Refusal(error.chinese, error.english) from error
    except OSError as error:
        raise Refusal(
            f"无法写入数据目录 {data}：{error.strerror}。请用 LETSERVER_DATA 指定一个可写的目录。",
            f"Cannot write to the data folder {data}: {error.strerror}. Point LETSERVER_DATA to one you can write to.",
        ) from error
    if tightened is not None:
        tell_tightened(data, mode=tightened.mode, count=tightened.count)


class Lock:
    """A lock that allows one instance per data folder.

    Every child inherits the descriptor, so the folder stays locked until the last child has ended. Otherwise a second
    Redis or a second writer could start on the same files.
    """

    def __init__(self, data: Path) -> None:
        self._file: IO[str] = (data / "lock").open("a+", encoding="utf-8")
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._refusal(data) from None
                time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    @property
    def descriptor(self) -> int:
        """Return what children inherit."""
        return self._file.fileno()

    def release(self) -> None:
        """Close our copy; the lock itself goes with the last one."""
        self._file.close()

    def _refusal(self, data: Path) -> Refusal:
        self._file.seek(0)
        holder = self._file.read().strip() or "?"
        self._file.close()
        return Refusal(
            f"数据目录 {data} 正由另一个 LetServer（进程 {holder}）使用；请先停止它，或用 LETSERVER_DATA 换一个目录。",
            f"The data folder {data} is in use by another LetServer (process {holder}); "
            "stop that one, or choose another folder with LETSERVER_DATA.",
        )


def secret_key(data: Path) -> str:
    """Return the instance's key, made at the first start."""
    path = data / "secret_key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(48) + "\n")
    return path.read_text(encoding="utf-8").strip()


def open_log(data: Path, name: str) -> IO[bytes]:
    """Open a child's log for appending; a long one is put aside first."""
    put_long_log_aside(data, name)
    path = log_path(data, name)
    path.touch(mode=0o600)
    return path.open("ab")


def put_long_log_aside(data: Path, name: str) -> None:
    """Copy a log of more than 5 MiB to `.log.1`, over the copy before it, and empty it.

    Its child keeps the file open and appends, so a renamed file would go on growing. A line that the child writes
    between the last copied byte and the emptying is lost.
    """
    path = log_path(data, name)
    if not path.exists() or path.stat().st_size <= _LOG_BYTES:
        return
    with path.open("r+b") as log, path.with_suffix(".log.1").open("wb") as copy:
        shutil.copyfileobj(log, copy)
        log.truncate(0)


def log_path(data: Path, name: str) -> Path:
    """Return where a child writes."""
    return data / "logs" / f"{name}.log"


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def lend_environment(data: Path, variables: Mapping[str, str]) -> None:
    """Keep the instance's settings for `manage.py` run by hand."""
    settings = {name: value for name, value in variables.items() if name.startswith("LETSERVER_")}
    write_private(data / _ENVIRONMENT, json.dumps(settings, indent=1) + "\n")


def borrow_environment() -> None:
    """Take the settings of the instance in LETSERVER_DATA, below those of the environment.

    A secret key in the environment or in `.env` means another installation. Then nothing is taken, so that a command
    for that installation cannot reach the embedded database. Raises NotOurs if folder or file belong to another user.
    """
    root = Path(__file__).resolve().parents[2]
    env_file = root / ".env"
    if _SECRET_KEY in os.environ or (env_file.exists() and _SECRET_KEY in env_file.read_text(encoding="utf-8")):
        return
    path = Path(os.environ.get("LETSERVER_DATA") or root / "data") / _ENVIRONMENT
    if path.exists():
        # It names the database and the secret key: another user's would make us work on theirs.
        refuse_foreign(path.parent)
        refuse_foreign(path)
        for name, value in json.loads(path.read_text(encoding="utf-8")).items():
            os.environ.setdefault(name, value)
