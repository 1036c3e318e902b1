"""Hostile texts start no second program: over commands, templates, and templates that go through a shell.

The agent's own code decides, and the arguments are really executed. Each payload tries to create a canary file; the
output proves that it arrived as plain text.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from skadi import config, match
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import AgentProcess, wait_until

PLAIN = """\
shortcuts:
  - {short: date, cmd: date}
commands:
  - prefix: echo
templates:
  - {name: bare, temp: "echo %s"}
  - {name: double, temp: 'echo "<%s>"'}
  - {name: single, temp: "echo '<%s>'"}
  - {name: rest, temp: "echo {*}"}
"""
SHELL = """\
templates:
  - {name: bare, temp: "true && printf '%%s\\\\n' %s", shell: true, options: allow}
  - {name: double, temp: "true && printf '%%s\\\\n' \\"<%s>\\"", shell: true, options: allow}
  - {name: single, temp: "true && printf '%%s\\\\n' '<%s>'", shell: true, options: allow}
  - {name: joined, temp: "true; X=a%sb; printf '%%s\\\\n' \\"$X\\"", shell: true, options: allow}
  - {name: test, temp: "[ %s = y ] && echo yes || printf '%%s\\\\n' %[1]s", shell: true, options: allow}
"""

ACTIONS = ["touch CANARY", "touch${IFS}CANARY", "/bin/touch CANARY", "sh -c 'touch CANARY'", "echo x>CANARY", ">CANARY"]
FRAMES = [
    "{}",
    "; {}",
    ";{};",
    "x; {}",
    "x;{} #",
    "&& {}",
    "x && {}",
    "|| {}",
    "| {}",
    "x | {}",
    "& {}",
    "x & {} &",
    "`{}`",
    "x`{}`",
    "$({})",
    "x$({})y",
    '"$({})"',
    "'$({})'",
    '"`{}`"',
    "'; {}; '",
    '"; {}; "',
    "'\"; {}; \"'",
    "\n{}",
    "x\n{}\n",
    "\r\n{}",
    "\\\n{}",
    "\\; {}",
    "\\'; {}; \\'",
    "${{x:-$({})}}",
    "$((`{}`))",
    "<({})",
    ">({})",
    "<<E\n$({})\nE",
    "{{ {}; }}",
    "( {} )",
    "x)\n{}",
    "esac; {}",
    "fi; {}",
    "done; {}",
    "}}; {}",
    "*; {}",
    "?;{}",
    "~;{}",
    "!; {}",
    "%s; {}",
    "%n`{}`",
    "$1; {}",
    "${{1}}`{}`",
    "$IFS;{}",
    "$'\\n{}'",
    "$'\\x3b {}'",
    "a=`{}`",
    "x=y {}",
    "-x; {}",
    "--; {}",
    "--opt=$({})",
    "-n `{}`",
    "；{}",
    "“; {}; ”",
    "‘; {}; ’",
    "\u2028{}",
    "\x0b{}",
    "\x1b[0m;{}",
    "\u202e; {}",
    "a' 'b; {}",
    "]; {}; [",
    "]]; {}",
    "= y ] ; {} #",
    "-o `{}`",
    "! {}",
    "eval {}",
    "exec {}",
    ". CANARY; {}",
    "source <({})",
    "trap '{}' EXIT",
    "x' -o '$({})",
    'x" -o "$({})',
    "$(({}))",
    "`echo '{}' | sh`",
    "$(echo '{}'|sh)",
    "|sh -c '{}'",
    ";sh<<<'{}'",
    "\\`{}\\`",
    "\\$({})",
    "\\\\`{}`",
    "\\\\$({})",
]
PAYLOADS = [frame.format(action) for frame in FRAMES for action in ACTIONS]


def load(home: Path, text: str) -> config.Config:
    path = home / "skadi.yml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    loaded = config.load(str(path), {})
    assert [entry.refusal for entry in loaded.entries if entry.refusal] == []
    return loaded


def execute(decision: match.Decision, folder: Path) -> str | None:
    """Return the output of the decision, or None if nothing runs."""
    if isinstance(decision, match.DirectAnswer):
        return None
    done = subprocess.run(
        list(decision.argv),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def quoted(payload: str) -> str:
    """Return the payload as one quoted argument."""
    return shlex.quote(payload)


def messages(name: str, payload: str) -> list[str]:
    return [f"{name} {payload}", f"{name} {quoted(payload)}", f"{name}{payload}", f"{payload} {name}"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_there_are_enough_hostile_texts() -> None:
    assert len(set(PAYLOADS)) >= 500


def test_commands_and_templates_without_a_shell(tmp_path: Path, folder: Path) -> None:
    loaded = load(tmp_path, PLAIN)
    inputs = ran = 0
    for number, payload in enumerate(PAYLOADS):
        for name in ("date", "echo", ("bare", "double", "single", "rest")[number % 4]):
            for message in messages(name, payload):
                inputs += 1
                decision = match.decide(loaded, message)
                if isinstance(decision, match.Plan):
                    assert decision.argv[0] in ("echo", "date")
                    # The program is echo whatever the message was; every fourth is run to be sure.
                    if number % 4 == 0:
                        ran += execute(decision, folder) is not None
        assert list(folder.iterdir()) == [], payload
    assert inputs >= 6000
    assert ran >= 200


def test_what_arrives_is_the_text_itself(tmp_path: Path, folder: Path) -> None:
    loaded = load(tmp_path, PLAIN)
    for payload in PAYLOADS[::3]:
        assert match.decide(loaded, f"echo {quoted(payload)}").argv == ("echo", payload)  # type: ignore[union-attr]
        decision = match.decide(loaded, f"double {quoted(payload)}")
        if not payload.startswith("-"):
            assert execute(decision, folder) == f"<{payload}>\n"
    assert list(folder.iterdir()) == []


def test_templates_through_a_shell(tmp_path: Path, folder: Path) -> None:
    loaded = load(tmp_path, SHELL)
    wrap = {"bare": "{}\n", "double": "<{}>\n", "single": "<{}>\n", "joined": "a{}b\n"}
    inputs = 0
    for number, payload in enumerate(PAYLOADS):
        for name, expected in list(wrap.items())[number % 2 :: 2]:
            inputs += 1
            assert execute(match.decide(loaded, f"{name} {quoted(payload)}"), folder) == expected.format(payload)
        match.decide(loaded, f"test {payload}")
        if number % 5 == 0:
            execute(match.decide(loaded, f"test {quoted(payload)}"), folder)
            execute(match.decide(loaded, f"bare {payload}"), folder)
        assert list(folder.iterdir()) == [], payload
    assert inputs >= 1000


def test_a_running_agent(server: FakeServer, make_agent: Callable[..., AgentProcess], folder: Path) -> None:
    shells = SHELL.replace("templates:\n", "").replace("name: ", "name: s")
    agent = make_agent(PLAIN + shells + f"defaults: {{env: {{HOME: {folder}}}}}\n").start()
    chosen = [payload.replace("CANARY", str(folder / "CANARY")) for payload in PAYLOADS[::21]]
    jobs = []
    for number, payload in enumerate(chosen):
        name = ("echo", "bare", "single", "sdouble", "ssingle", "sjoined", "date")[number % 7]
        jobs.append(server.add(f"{name} {payload}"))
        jobs.append(server.add(f"{name} {quoted(payload)}"))
    wait_until(lambda: len(server.reports) == len(jobs), 40)
    assert len(jobs) >= 40
    assert list(folder.iterdir()) == []
    assert agent.process is not None
    assert agent.process.poll() is None
