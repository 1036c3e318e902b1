"""Run one command to its end and store how it ended.

The agent starts this file by its path, `python -I -S shim.py JOB_FOLDER`, so that a job outlives the agent. With -I
Python cannot import the files beside it: therefore this stays one file that imports nothing of the package. It reads
`job.json` and writes to the same folder:

1. `lock`, held while this process lives, and `started`, written once: no folder runs twice;
2. `out.log`, the head and the tail of the output, at most `output` bytes;
3. `exit.json`, complete or absent, after the command and all its descendants have ended. If the disk does not take it,
   its content goes to standard output, to the agent.

SIGTERM ends the command. The reason is `canceled` if the file `cancel` exists, otherwise `interrupted`.

There is one thread and one loop. So forking is safe, and the thread that started the command lives as long as this
process: the kernel ties the parent-death signal to that thread.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
READ_BYTES = 65536
LINGER_SECONDS = 0.3  # a background reader such as `> >(tee log)` needs this to write its last lines
CLOSE_SECONDS = 2.0  # then the pipe is closed, even if another process holds it
ORPHAN_GRACE_SECONDS = 1.0  # instead of kill_after, if the agent died and nothing may outlive it
ORPHAN_LOOK_SECONDS = 0.1
SWEEP_SECONDS = 5.0
# This process or its Python has changed these; a command gets the defaults.
CHANGED_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def armed_failpoint(text: str) -> tuple[str, int, str]:
    """Return name, count and file of `name:n[:file]`, see failpoints.py. The name is "" for an empty text."""
    name, _, rest = text.partition(":")
    number, _, file = rest.partition(":")
    return name, int(number or 0), file


def die_at(name: str, file: str) -> None:
    """Append the name of the point to the file, and die as in a power cut."""
    if file:
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{name} {os.getpid()}\n".encode())
        os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)


def reach(name: str) -> None:
    """Die here if a test has armed this point. A shim reaches each point once, so the count matters to the agent
    only.
    """
    armed, _, file = armed_failpoint(os.environ.get("SKADI_FAILPOINT", ""))
    if armed == name:
        die_at(name, file)


def prctl(option: int, value: int) -> bool:
    """Call prctl(2). Return False if it does not exist (not Linux, no ctypes)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def descendants(root: int) -> list[int]:
    """Return the processes below `root`, from /proc; none without /proc."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended in between
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def signal_quietly(pid: int, number: int, group: bool = False) -> None:
    """Send a signal. Ignore a process that has ended or that runs as another user."""
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def write_atomically(folder: str, name: str, text: str) -> None:
    """Write a file that is complete or absent, also after a power cut. Raises OSError."""
    path = os.path.join(folder, name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Sync the names in a folder, so that they survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def now_text() -> str:
    """Return the current time as RFC 3339 text, in UTC, with milliseconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


class Output:
    """Keep the head and the tail of a stream in a file of at most `limit` bytes.

    The file takes everything up to `limit`. Beyond, only the last half is kept, in memory, and `finish` writes it
    behind the first half. So memory stays flat, and the command is never blocked, not even by a full disk.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.limit = max(limit, 2)
        self.tail_limit = self.limit // 2
        self.head_limit = self.limit - self.tail_limit
        self.size = 0
        self.on_disk = 0
        self.tail = bytearray()
        self.failed = False
        self.file = open(path, "wb", buffering=0)  # noqa: SIM115  (closed by `finish`)

    def add(self, data: bytes) -> None:
        """Add output of the command."""
        self.size += len(data)
        room = self.limit - self.on_disk
        if room > 0 and not self.failed:
            self._write(data[:room])
        self.tail += data
        if len(self.tail) > 2 * self.tail_limit + READ_BYTES:
            del self.tail[: len(self.tail) - self.tail_limit]

    def finish(self) -> None:
        """Write the tail behind the head. Call it once, at the end."""
        if self.size > self.limit and not self.failed:
            self.file.truncate(self.head_limit)
            self.file.seek(self.head_limit)
            self._write(bytes(self.tail[-self.tail_limit :]))
        self.file.close()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                written = self.file.write(data)
                self.on_disk += written
                data = data[written:]
        except OSError:
            self.failed = True


class Command:
    """The command, its descendants, its pipe and its deadlines."""

    def __init__(self, job: dict[str, Any], output: Output, folder: str) -> None:
        self.job = job
        self.output = output
        self.folder = folder
        self.reason = ""  # the first reason to end it; "" while it may run
        self.status: int | None = None
        self.maxrss = 0
        self.children_left = True
        self.stop_requested = False
        self.swept = False
        self.kill_at = float("inf")
        self.term_at = float("inf")
        self.failure = ""
        self.shim_pid = os.getpid()
        self.pid = 0
        self.pipe = -1
        self.deadline = 0.0
        self.wakeup_pipe = os.pipe()
        for end in self.wakeup_pipe:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.wakeup_pipe[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _on_sigterm(self, number: int, frame: object) -> None:
        self.stop_requested = True

    def stop_reason(self) -> str:
        """Return the reason of a requested stop: the owner canceled the job, or the agent stops."""
        return "canceled" if os.path.exists(os.path.join(self.folder, "cancel")) else "interrupted"

    def start(self) -> None:
        """Fork and exec. `failure` says why the program could not start."""
        reading, writing = os.pipe()
        failed_reading, failed_writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._exec_child(writing, failed_writing)
        os.close(writing)
        os.close(failed_writing)
        self.pipe = reading
        os.set_blocking(reading, False)
        with open(failed_reading, "rb") as channel:
            self.failure = channel.read().decode("utf-8", "replace")
        self.deadline = time.monotonic() + self.job["timeout"]

    def _exec_child(self, writing: int, failed_writing: int) -> None:
        """Prepare the child and exec; never returns. Descriptors above 2 are closed by exec (PEP 446)."""
        what = self.job["argv"][0]
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (writing, 1), (writing, 2)):
                os.dup2(source, target)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            for number in CHANGED_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if self.job.get("uid") is not None:
                what = "user"
                os.initgroups(self.job["user"], self.job["gid"])
                os.setgid(self.job["gid"])
                os.setuid(self.job["uid"])
            # After setuid, which clears it. A command whose shim was killed has no timeout any more and must end.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.shim_pid:
                os._exit(126)
            what = self.job["dir"]
            os.chdir(self.job["dir"])
            os.umask(self.job["umask"])
            what = self.job["argv"][0]
            os.execvpe(what, self.job["argv"], self.job["env"])
        except FileNotFoundError:
            message = f"{what}: not found"
        except OSError as error:
            message = f"{what}: {os.strerror(error.errno or errno.EIO)}"
        except ValueError as error:
            message = f"{what}: {error}"
        os.write(failed_writing, message.encode("utf-8", "replace")[:4000])
        os._exit(127)

    def run(self) -> None:
        """Read output, apply deadlines and reap until no process is left."""
        while True:
            self._reap()
            now = time.monotonic()
            self._apply_deadlines(now)
            gone = self.status is not None and not self.children_left
            if gone and (self.pipe < 0 or now >= self.kill_at):
                break
            if self.swept:
                break  # the remaining processes cannot be killed
            self._wait(now)
        self._read_output(limit=64)  # a full pipe may still hold this
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def _apply_deadlines(self, now: float) -> None:
        """Begin to end the process tree, or take the next step of it, if it is due."""
        if self.status is None:
            if self.stop_requested and self._is_orphan():
                self._terminate(self.stop_reason(), min(ORPHAN_GRACE_SECONDS, self.job["kill_after"]), now)
                self.stop_requested = False
            elif not self.reason and self.stop_requested:
                self._terminate(self.stop_reason(), self.job["kill_after"], now)
            elif not self.reason and now >= self.deadline:
                self._terminate("timeout", self.job["kill_after"], now)
        elif self.term_at == float("inf"):
            self.term_at = now + (0 if self.reason else LINGER_SECONDS)
            self.kill_at = min(self.kill_at, now + CLOSE_SECONDS)
        elif now >= self.term_at:
            self.term_at = self.kill_at + 1
            below = descendants(os.getpid())
            for pid in below:
                signal_quietly(pid, signal.SIGTERM)
            if not below:  # without /proc only the group is known
                signal_quietly(self.pid, signal.SIGTERM, group=True)
        if now >= self.kill_at and not self.swept:
            self._sweep()

    def _is_orphan(self) -> bool:
        """Return whether the agent has died and its commands must end too.

        The signal comes when the agent's first thread ends. It may still be our parent then, so this is checked again
        later.
        """
        return self.job.get("agent_pid") is not None and os.getppid() != self.job["agent_pid"]

    def _terminate(self, reason: str, grace: float, now: float) -> None:
        self.reason = self.reason or reason
        self.kill_at = min(self.kill_at, now + grace)
        signal_quietly(self.pid, signal.SIGTERM, group=True)

    def _sweep(self) -> None:
        """Send KILL to all descendants until none is left. As subreaper we adopt those whose parent was killed."""
        self.swept = True
        give_up = time.monotonic() + SWEEP_SECONDS
        while time.monotonic() < give_up:
            # The group only before its leader is reaped: afterwards another process may have its number.
            if self.status is None:
                signal_quietly(self.pid, signal.SIGKILL, group=True)
            for pid in descendants(os.getpid()):
                signal_quietly(pid, signal.SIGKILL)
            self._reap()
            if not self.children_left:
                return
            time.sleep(0.01)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.children_left = False
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status
                self.maxrss = usage.ru_maxrss

    def _wait(self, now: float) -> None:
        """Wait for output, a signal or the next deadline."""
        if self.status is None:
            until = self.kill_at if self.reason else self.deadline
            if self.stop_requested and self.job.get("agent_pid") is not None:
                until = min(until, now + ORPHAN_LOOK_SECONDS)
        else:
            until = min(self.term_at, self.kill_at)
        watched = [self.wakeup_pipe[0]] + ([self.pipe] if self.pipe >= 0 else [])
        ready, _, _ = select.select(watched, [], [], max(0.0, min(until - now, 3600.0)))
        if self.wakeup_pipe[0] in ready:
            try:
                os.read(self.wakeup_pipe[0], 4096)
            except BlockingIOError:
                return
        if self.pipe in ready:
            self._read_output(limit=16)

    def _read_output(self, limit: int) -> None:
        for _ in range(limit if self.pipe >= 0 else 0):
            try:
                data = os.read(self.pipe, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                os.close(self.pipe)
                self.pipe = -1
                return
            self.output.add(data)


def describe_end(command: Command) -> dict[str, Any]:
    """Return the fields rc, signal, reason and error of `exit.json`."""
    if command.failure:
        return {"rc": None, "signal": None, "reason": "cannot_start", "error": command.failure}
    status = command.status
    if status is None:
        return {"rc": None, "signal": None, "reason": command.reason or "lost", "error": ""}
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    return {
        "rc": code,
        "signal": killed_by,
        "reason": command.reason or ("signal" if killed_by else "exit"),
        "error": "",
    }


def read_job(folder: str) -> dict[str, Any] | None:
    """Return the content of `job.json`, or None if another user could have written it.

    The agent has checked the state folder at its start; this holds for a folder that was exchanged since.
    """
    inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    file = os.open("job.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    for status in (os.fstat(inside), os.fstat(file)):
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            sys.stderr.write(f"another user could have written {folder}\n")
            return None
    os.close(inside)
    with open(file, encoding="utf-8") as text:
        job: dict[str, Any] = json.load(text)
    return job


def claim_folder(folder: str) -> bool:
    """Claim the only run of a folder. Return False if it has run, or runs in another process. Raises OSError."""
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reach("started.before_write")
        started_file = os.open(os.path.join(folder, "started"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except (BlockingIOError, FileExistsError):
        return False
    os.write(started_file, b"%d\n" % os.getpid())
    os.fsync(started_file)
    os.close(started_file)
    sync_folder(folder)  # before the command starts: after a power cut it must not look as if nothing had run
    reach("started.after_write")
    return True


def write_end(folder: str, end: dict[str, Any]) -> None:
    """Write `exit.json`, or print its content for the agent."""
    text = json.dumps(end)
    reach("exit.before_write")
    try:
        write_atomically(folder, "exit.json", text)
    except OSError:
        os.write(1, text.encode())  # less than a pipe holds, so this does not block
    reach("exit.after_write")


def main(folder: str) -> int:
    """Run the job of a folder. Return 0 at its end, 3 if the folder has had its run, 4 if it cannot be trusted."""
    os.umask(0o077)
    job = read_job(folder)
    if job is None:
        return 4
    try:
        if not claim_folder(folder):
            return 3
        output = Output(os.path.join(folder, "out.log"), job["output"])
    except OSError as error:
        message = f"the state folder cannot be written: {error.strerror}"
        write_end(folder, {"rc": None, "signal": None, "reason": "cannot_start", "error": message})
        return 0
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    command = Command(job, output, folder)
    if job.get("agent_pid") is not None:
        # Ask for the signal, then compare: an agent that died before this line sends no signal.
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        command.stop_requested = command.stop_requested or os.getppid() != job["agent_pid"]
    started = now_text()
    if command.stop_requested or command.stop_reason() == "canceled":
        command.reason = command.stop_reason()
    else:
        command.start()
        reach("command.after_start")
        command.run()
    output.finish()
    end = describe_end(command)
    end.update(
        started=started,
        finished=now_text(),
        maxrss=command.maxrss,
        size=output.size,
        truncated=output.size > output.limit or output.failed,
        head=output.head_limit if output.size > output.limit else None,
    )
    write_end(folder, end)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
