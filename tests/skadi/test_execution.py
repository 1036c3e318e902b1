"""The end, process tree, output and environment of a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.skadi.fake_server import FakeServer
from tests.skadi.support import TOKEN, AgentProcess, alive, wait_until

Make = Callable[..., AgentProcess]


def run_one(server: FakeServer, agent: AgentProcess, message: str, seconds: float = 15.0) -> tuple[str, dict[str, Any]]:
    job = server.add(message)
    return wait_until(lambda: server.reports.get(job), seconds, f"report on {message}")


def test_success_and_failures_are_reported_in_the_words_of_the_original(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent(
        "shortcuts:\n"
        "  - {short: good, cmd: echo fine}\n"
        "  - {short: empty, cmd: 'true'}\n"
        "  - {short: bad, cmd: 'echo out; echo err >&2; exit 3'}\n"
        "  - {short: killed, cmd: 'kill -9 $$'}\n"
        "  - {short: absent, cmd: no-such-program-here}\n"
        "  - {short: nowhere, cmd: 'true', dir: /no/such/folder}\n"
    ).start()
    kind, body = run_one(server, agent, "good")
    assert (kind, body["result"], body["exit_code"], body["truncated"]) == ("succeed", "fine\n", 0, False)
    assert body["started_at"] <= body["finished_at"]
    assert run_one(server, agent, "empty")[1]["result"] == ""
    kind, body = run_one(server, agent, "bad")
    assert (kind, body["result"]) == ("fail", "run command failed, exit status 3 : out\nerr\n")
    assert (body["exit_code"], body["reason"]) == (3, "exit")
    kind, body = run_one(server, agent, "killed")
    assert (kind, body["result"]) == ("fail", "run command failed, signal: killed : ")
    assert (body["signal"], body["reason"]) == (9, "signal")
    kind, body = run_one(server, agent, "absent")
    assert (kind, body["result"]) == ("fail", "run command failed, no-such-program-here: not found : ")
    assert body["reason"] == "cannot_start"
    assert "/no/such/folder: not found" in run_one(server, agent, "nowhere")[1]["result"]
    kind, body = run_one(server, agent, "nothing like it")
    assert (kind, body["result"]) == ("fail", "unsupported command: nothing like it")


def test_timeout_ends_a_setsid_grandchild_that_ignores_term(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = tmp_path / "stubborn.sh"
    script.write_text(
        "trap '' TERM\n"
        f"setsid sh -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' &\n"
        f"setsid setsid sh -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 1; done' "
        ">/dev/null 2>&1 </dev/null &\n"
        f"echo $$ >> {pids}\necho started\nwhile :; do sleep 1; done\n"
    )
    agent = make_agent(
        f"shortcuts:\n  - {{short: stubborn, cmd: sh {script}, timeout: 1s, kill_after: 500ms}}\n"
    ).start()
    kind, body = run_one(server, agent, "stubborn")
    assert (kind, body["reason"]) == ("fail", "timeout")
    assert body["result"] == "run command failed, timeout after 1s : started\n"
    found = [int(text) for text in pids.read_text().split()]
    assert len(found) == 3
    assert [pid for pid in found if alive(pid)] == []


def test_background_process_holds_up_nothing_and_is_ended(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    agent = make_agent(
        f"shortcuts:\n  - {{short: leave, cmd: 'sleep 100 & echo $! > {pids}; echo done'}}\n"
        f"  - {{short: hide, cmd: 'setsid sleep 100 >/dev/null 2>&1 & echo $! > {pids}; echo done'}}\n"
    ).start()
    for message in ("leave", "hide"):
        body = run_one(server, agent, message)[1]
        assert body["result"] == "done\n"
        began, ended = (datetime.fromisoformat(body[name]) for name in ("started_at", "finished_at"))
        assert ended - began < timedelta(seconds=5)
        assert not alive(int(pids.read_text()))


def test_background_writer_may_finish_its_last_lines(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: late, cmd: '(sleep 0.1; echo late) & echo first'}\n").start()
    assert run_one(server, agent, "late")[1]["result"] == "first\nlate\n"


def test_environment_is_built_from_nothing(server: FakeServer, make_agent: Make) -> None:
    hostile = {
        "SKADI_TOKEN": TOKEN,
        "LD_LIBRARY_PATH": "/nowhere",
        "LD_PRELOAD": "",
        "HTTPS_PROXY": "http://proxy.invalid:1",
        "http_proxy": "http://proxy.invalid:1",
        "PYTHONPATH": "/nowhere",
        "SECRET": "of the agent",
    }
    agent = make_agent(
        "defaults: {env: {COMMON: both}}\nshortcuts:\n  - {short: env, cmd: env, env: {OWN: '1'}}\n"
        "  - {short: umask, cmd: umask, umask: 027}\n  - {short: pwd, cmd: pwd, dir: /usr}\n"
    ).start(env=hostile)
    body = run_one(server, agent, "env")[1]
    found = dict(line.split("=", 1) for line in body["result"].splitlines())
    assert set(found) - {"TZ"} == {
        "PATH",
        "LANG",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PYTHONUNBUFFERED",
        "SKADI_JOB_ID",
        "SKADI_ENTRY",
        "COMMON",
        "OWN",
    }
    assert (found["LANG"], found["SKADI_ENTRY"], found["COMMON"]) == ("C.UTF-8", "env", "both")
    assert TOKEN not in body["result"]
    assert run_one(server, agent, "umask")[1]["result"].strip() == "0027"
    assert run_one(server, agent, "pwd")[1]["result"] == "/usr\n"
    stored = "".join(path.read_text(errors="replace") for path in agent.state.rglob("*") if path.is_file())
    assert TOKEN not in stored + agent.log()


def test_descriptors_are_closed_and_stdin_is_empty(server: FakeServer, make_agent: Make) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        agent = make_agent("shortcuts:\n  - {short: fds, cmd: 'ls -l /proc/self/fd; cat; ps -o sid= -p $$'}\n").start()
        result = run_one(server, agent, "fds")[1]["result"]
    finally:
        os.close(read_end)
        os.close(write_end)
    numbers = [line.split(" -> ")[0].split()[-1] for line in result.splitlines() if " -> " in line]
    # `ls` itself opens the folder it lists: one number above 2, and not a pipe or a socket.
    assert numbers[:3] == ["0", "1", "2"]
    assert len(numbers) <= 4
    assert "0 -> /dev/null" in result


def test_token_is_in_no_argument_list(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: nap, cmd: sleep 1}\n").start()
    job = server.add("nap")
    wait_until(lambda: agent.job_dir(job).joinpath("started").exists())
    family = [psutil.Process(agent.pid), *psutil.Process(agent.pid).children(recursive=True)]
    assert len(family) >= 2
    assert not any(TOKEN in " ".join(process.cmdline()) for process in family)
    wait_until(lambda: job in server.reports)


def test_a_hundred_megabytes_keep_head_and_tail_and_little_memory(server: FakeServer, make_agent: Make) -> None:
    # 4-byte characters and a 3-byte shift make sure that both cuts fall into the middle of one.
    code = (
        "import sys; w=sys.stdout.buffer.write; w(b'HEAD'); block='\\U0001F600'.encode()*16384\n"
        "for _ in range(1600): w(block)\n"
        "w(b'yTAIL')"
    )
    agent = make_agent(
        "shortcuts:\n  - short: flood\n    shell: false\n"
        f"    cmd: {json.dumps(f'{sys.executable} -c {shell_quote(code)}')}\n"
    ).start()
    peak = {"agent": 0, "shim": 0}
    job = server.add("flood")

    def watch() -> bool:
        try:
            agent_process = psutil.Process(agent.pid)
            peak["agent"] = max(peak["agent"], agent_process.memory_info().rss)
            for child in agent_process.children():
                peak["shim"] = max(peak["shim"], child.memory_info().rss)
        except psutil.NoSuchProcess:
            return False
        return job in server.reports

    wait_until(watch, 40)
    kind, body = server.reports[job]
    assert (kind, body["truncated"]) == ("succeed", True)
    result = body["result"]
    assert result.startswith("HEAD\U0001f600")
    assert result.endswith("\U0001f600yTAIL")
    assert "\ufffd" not in result
    assert "output left out" in result
    assert 1024 * 1024 - 100 < len(result.encode()) <= 1024 * 1024
    end = json.loads(agent.job_dir(job).joinpath("exit.json").read_text())
    assert end["size"] == 4 + 1600 * 65536 + 5
    assert agent.job_dir(job).joinpath("out.log").stat().st_size == 1024 * 1024
    assert peak["agent"] > 0
    assert peak["shim"] > 0
    assert peak["agent"] + peak["shim"] < 60 * 1024 * 1024, peak


def shell_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_smaller_caps_count_for_an_entry(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent("shortcuts:\n  - {short: many, cmd: 'seq 1 100000', output: 2KiB}\n").start()
    body = run_one(server, agent, "many")[1]
    assert body["truncated"]
    assert body["result"].startswith("1\n2\n3\n")
    assert body["result"].endswith("\n99999\n100000\n")
    assert len(body["result"]) < 2200


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        (b"\xe5\x82\xbb\xe7\x93\x9c\n", "\u50bb\u74dc\n"),
        ("\u50bb\u74dc\n".encode("gb18030"), "\u50bb\u74dc\n"),
        (b"\xff\xfe\x00\xff", "\ufffd\ufffd\ufffd"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07plain\x00\x07\n", "red plain\n"),
        (b"10%\r20%\r100%\r\ndone\r\n", "100%\ndone\n"),
        (b"a\tb\n", "a\tb\n"),
    ],
)
def test_output_is_reported_as_clean_text(
    server: FakeServer, make_agent: Make, tmp_path: Path, printed: bytes, result: str
) -> None:
    (tmp_path / "bytes").write_bytes(printed)
    agent = make_agent(f"shortcuts:\n  - {{short: show, cmd: cat {tmp_path / 'bytes'}}}\n").start()
    assert run_one(server, agent, "show")[1]["result"] == result


def test_user_of_an_entry_is_changed_when_the_agent_is_root(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent(
        "shortcuts:\n  - {short: who, cmd: 'id -un; id -Gn; echo $HOME', user: nobody, dir: /}\n"
    ).start()
    kind, body = run_one(server, agent, "who")
    if os.geteuid() != 0:
        assert (kind, "need an agent that runs as root" in body["result"]) == ("fail", True)
        return
    assert (kind, body["result"].splitlines()[0]) == ("succeed", "nobody")
    assert "root" not in body["result"].splitlines()[1].split()


def test_nothing_survives_a_killed_agent_under_a_development_supervisor(
    server: FakeServer, make_agent: Make, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    agent = make_agent(
        "shortcuts:\n  - short: stay\n    timeout: 1h\n"
        f"    cmd: 'trap \"\" TERM; echo $$ > {pids}; while :; do sleep 1; done'\n"
    ).start(env={"SKADI_DIE_WITH_PARENT": "1"})
    job = server.add("stay")
    command = int(wait_until(lambda: pids.exists() and pids.read_text()))
    shim = int(agent.job_dir(job).joinpath("started").read_text())
    agent.signal(9)
    agent.wait()
    wait_until(lambda: not alive(command) and not alive(shim), 6)
    assert json.loads(agent.job_dir(job).joinpath("exit.json").read_text())["reason"] == "interrupted"


def test_the_agent_dies_with_its_parent_when_asked_to(server: FakeServer, make_agent: Make) -> None:
    agent = make_agent()
    code = (
        "import subprocess, sys, time\np = subprocess.Popen(sys.argv[1:])\nprint(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    environment = dict(os.environ, SKADI_DIE_WITH_PARENT="1", SKADI_STATE_DIR=str(agent.state))
    with subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, "-m", "skadi", "--config", str(agent.config)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: server.polls)
        parent.kill()
    wait_until(lambda: not alive(pid), 5)


def test_a_killed_shim_takes_its_command_along(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    agent = make_agent(f"shortcuts:\n  - {{short: stay, cmd: 'echo before; echo $$ > {pids}; sleep 100'}}\n").start()
    job = server.add("stay")
    command = int(wait_until(lambda: pids.exists() and pids.read_text()))
    os.kill(int(agent.job_dir(job).joinpath("started").read_text()), 9)
    kind, body = wait_until(lambda: server.reports.get(job))
    assert (kind, body["reason"]) == ("fail", "interrupted")
    assert body["result"].endswith("before\n")
    wait_until(lambda: not alive(command))
