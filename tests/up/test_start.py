"""`make up` starts everything, tells what a person needs, and refuses with one sentence and nothing half-started."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

import pytest

from tests.lanes.lane import Lane
from tests.up.conftest import Start
from tests.up.instance import Instance, processes_of
from tests.waiting import until

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+ ")


def test_printed_command_brings_the_demo_agents_answer(running: Instance) -> None:
    job = running.paste_the_printed_command()
    assert job["status"] == "succeeded", job
    assert job["result"].startswith("20")


def test_one_of_two_web_processes_that_dies_leaves_callers_with_the_other(running: Instance) -> None:
    first, second = sorted(running.find("letserver.web"))
    running.kill(first)
    until(lambda: not Path(f"/proc/{first}").exists())  # a dying process may still hold its socket
    assert running.is_well(), "one of two web processes died and nobody answers"
    until(lambda: running.find("letserver.web") - {first, second}, seconds=15)


def test_secrets_are_readable_by_their_owner_only(running: Instance) -> None:
    for name in ("credentials", "secret_key", "environment", "agent/skadi.yml", "run/redis.conf", "logs/web-1.log"):
        mode = stat.S_IMODE((running.data / name).stat().st_mode)
        assert mode == 0o600, f"{name}: {mode:o}"
    assert stat.S_IMODE((running.data / "agent").stat().st_mode) == 0o700


def test_every_file_of_a_running_instance_is_private(running: Instance) -> None:
    for path in (running.data, *running.data.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & 0o077, f"{path}: {mode:o}"
    for pid in running.processes():
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        # `make` itself started us; everything that it became or started keeps files private.
        assert "Umask:\t0077" in status or "\nName:\tmake\n" in f"\n{status}", (pid, status)


@pytest.mark.parametrize("name", ["worker", "courier"])
def test_lines_of_celery_have_our_form_and_utc(running: Instance, name: str) -> None:
    log = running.data / "logs" / f"{name}.log"
    until(lambda: " ready." in log.read_text(encoding="utf-8"), seconds=30)
    (ready,) = [line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith(" ready.")]
    assert _LINE.match(ready), ready


def test_private_redis_is_maintained_and_listens_on_a_socket_only(running: Instance) -> None:
    (redis,) = running.find("valkey-server")
    ports = [line for table in ("tcp", "tcp6") for line in listening(redis, table)]
    assert not ports, ports
    assert stat.S_IMODE((running.data / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((running.data / "run" / "redis.sock").stat().st_mode) == 0o700


def listening(pid: int, table: str) -> list[str]:
    """Return the lines of the kernel's table for the sockets on which the process listens."""
    held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="utf-8").splitlines()[1:]
    return [line for line in lines if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in held]


def test_agent_knows_none_of_the_servers_secrets(running: Instance) -> None:
    (agent,) = running.find("-m skadi")
    environment = Path(f"/proc/{agent}/environ").read_bytes()
    assert b"LETSERVER_" not in environment


@pytest.mark.parametrize("words", ["letserver.web", "valkey-server", " worker ", " beat ", "-m skadi"])
def test_child_that_dies_comes_back(running: Instance, words: str) -> None:
    # A Celery worker has children of the same command line; the oldest is the one that was started.
    before = running.find(words)
    died = min(before)
    running.kill(died)
    until(lambda: running.find(words) - before, seconds=15)
    until(running.is_well, seconds=15)
    assert died not in running.find(words)
    assert "SIGKILL" in running.output()


def test_second_up_on_the_same_data_is_refused(running: Instance, start: Start) -> None:
    said = start(running.data).wait_for_refusal()
    assert f"in use by another LetServer (process {running.supervisor})" in said
    assert "正由另一个 LetServer" in said
    assert "Traceback" not in said
    assert running.is_well()


def test_busy_port_is_refused_before_anything_starts(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = start(data, port=port).wait_for_refusal()
    assert f"Port {port} is in use" in said
    assert "已被占用" in said
    assert not processes_of(data)
    assert not (data / "letserver.sqlite3").exists()


def test_wrong_setting_is_named(start: Start, tmp_path: Path) -> None:
    said = start(tmp_path / "data", LETSERVER_GATEWAY="perhaps").wait_for_refusal()
    assert "LETSERVER_GATEWAY" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


def test_web_that_cannot_start_ends_the_start_with_its_last_words(start: Start, lane: Lane, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    lane.migrated_database("no_web", data=tmp_path / "data")  # it is about what comes after
    module = 'import os, sys\nif "letserver.web" in sys.orig_argv:\n    os.write(2, b"no web today\\n"); os._exit(7)\n'
    (tmp_path / "sitecustomize.py").write_text(module)
    said = start(tmp_path / "data", PYTHONPATH=str(tmp_path)).wait_for_refusal()
    assert "web does not start" in said
    assert "no web today" in said
    assert not processes_of(tmp_path / "data")
