"""The command line: `skadi`, `skadi TOKEN`, `skadi match`, `check`, `doctor`, `run AGENT TEXT` and `version`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import NoReturn, Sequence

from skadi import __version__, runner, shim
from skadi.agent import Agent
from skadi.config import TOKEN, Config, ConfigError, find_file, load, permission_problem
from skadi.doctor import examine
from skadi.edit import write_token
from skadi.entries import Entry
from skadi.exit_codes import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from skadi.journal import Journal, StateError, default_state_dir
from skadi.log import set_up
from skadi.match import DirectAnswer, decide
from skadi.remote import run_remote
from skadi.risks import risks_of
from skadi.safe_text import printable
from skadi.values import duration_text

USAGE = """\
skadi [--config FILE]               run the agent
skadi [--config FILE] TOKEN         write the token (20 letters and digits) into skadi.yml
skadi [--config FILE] match TEXT    show what a message would do here; runs nothing
skadi [--config FILE] check         check skadi.yml
skadi [--config FILE] doctor        check skadi.yml, disk, server and token; exit with 2 if the agent cannot work
skadi run AGENT TEXT...             run a job on your agent, show its output, exit with its exit code
skadi version

Without --config, FILE is ./skadi.yml, or else /etc/skadi/skadi.yml.

skadi run AGENT TEXT... reads your token (lsj_... or lsu_...) from SKADI_TOKEN. Options may be before or in TEXT:
  --server URL                      the address of the server; else SKADI_SERVER
  --wait-for-agent SECONDS, --ttl   let the job wait this long for an agent that is offline
  --timeout SECONDS                 stop following the job after this long; the job goes on
  --                                what follows is TEXT

Exit codes: 0 fine; 1 refused or failed; 78 the configuration or the token is bad. skadi run: the exit code of the
command, 128 + N if signal N ended it; 130 after Ctrl-C.
"""


def show(text: str) -> None:
    """Print text that may come from skadi.yml, a message or the server."""
    sys.stdout.write(printable(text))


def show_error(text: str) -> None:
    """Do `show` on stderr."""
    sys.stderr.write(printable(text))


class Parser(argparse.ArgumentParser):
    """argparse with our exit code and our help text."""

    def error(self, message: str) -> NoReturn:
        raise SystemExit(complain(message))

    def format_help(self) -> str:
        return USAGE


def complain(message: str) -> int:
    """Print an error of the command line. Return the exit code."""
    show_error(f"skadi: {message}\nTry: skadi --help\n")
    return EXIT_FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return the exit code."""
    os.umask(0o077)  # no other user reads or writes the files that skadi makes
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) > 1 and given[0] == "run" and not given[1].startswith(("--config", "--help", "-h")):
        return run_remote(given[1:], os.environ)
    parser = Parser(prog="skadi", usage=USAGE, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(given)
    words: list[str] = options.words
    try:
        if options.version or words == ["version"]:
            show(f"skadi {__version__}\n")
            return EXIT_OK
        if words in ([], ["run"]):
            return run(find_file(options.config))
        if words == ["check"]:
            return check(find_file(options.config))
        if words == ["doctor"]:
            return doctor(find_file(options.config))
        if words[0] == "match" and len(words) > 1:
            return explain(find_file(options.config), " ".join(words[1:]))
        if len(words) == 1:
            return set_token(options.config, words[0])
        return complain("unknown command: {}".format(" ".join(words)))
    except ConfigError as error:
        show_error(f"skadi: {error}\n")
        return EXIT_CONFIG


def set_token(given: str | None, token: str) -> int:
    """Do `skadi TOKEN`. Return the exit code."""
    if not TOKEN.match(token):
        show_error(
            "skadi: this is neither a command nor a token: a token has 20 letters and digits, "
            f"this has {len(token)} characters.\n"
            "Copy the agent's token from the server again, or try: skadi --help\n"
        )
        return EXIT_FAILED
    try:
        path = find_file(given)
        write_token(path, token)
    except ConfigError as error:
        show_error(f"skadi: {error}\n")
        return EXIT_FAILED
    show(f"The token was written to {path}. Start the agent with: skadi\n")
    return EXIT_OK


def run(path: str) -> int:
    """Run the agent until a signal. Return the exit code."""
    die_with_parent()
    config = usable(path)
    formatter = set_up(config.debug)
    try:
        journal = Journal(os.environ.get("SKADI_STATE_DIR") or config.state_dir or default_state_dir(dict(os.environ)))
    except StateError as error:
        show_error(f"skadi: {error}. Set SKADI_STATE_DIR or `state_dir:` to a folder of its own.\n")
        return EXIT_FAILED
    return Agent(config, journal, formatter, lambda: usable(path)).run()


def usable(path: str) -> Config:
    """Load a configuration that an agent can run with. Raises ConfigError if the token, the server or ssl is
    missing.
    """
    config = load(path, os.environ)
    if not config.token:
        raise ConfigError(f"{path} has no token yet. Copy it from the server and run: skadi TOKEN")
    if config.server is None:
        raise ConfigError(
            f"{path} does not say where the server is. Add a line such as: server: https://letserver.example"
        )
    if config.server.secure:
        try:
            import ssl  # noqa: F401  (small systems package it apart)
        except ImportError as error:
            raise ConfigError(
                "this Python has no ssl module: install it (python3-openssl, python3-libs) for https"
            ) from error
    return config


def die_with_parent() -> None:
    """Under a development supervisor: ask the kernel to kill us when it dies, so that its kill -9 leaves nothing
    behind.
    """
    if not runner.dies_with_parent():
        return
    parent = os.getppid()
    shim.prctl(shim.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(EXIT_FAILED)


def explain(path: str, message: str) -> int:
    """Do `skadi match TEXT`. Return 0 if the text would run or be answered, 1 if it would be refused."""
    decision = decide(load(path, os.environ), message)
    if isinstance(decision, DirectAnswer):
        show("{}: {}\n".format("answered" if decision.ok else "refused", decision.text))
        return EXIT_OK if decision.ok else EXIT_FAILED
    entry = decision.entry
    lines = [("entry", f"{entry.kind} {entry.name} (line {entry.line} of {path})")]
    lines += [(f"argument {number}" if number else "program", repr(word)) for number, word in enumerate(decision.argv)]
    lines += [
        ("folder", entry.directory or "the agent's own"),
        ("user", entry.user or "the agent's own"),
        ("timeout", f"{duration_text(entry.timeout)}, then {duration_text(entry.kill_after)} until it is killed"),
    ]
    if entry.confirm:
        lines.append(("confirm", "the owner must confirm it in the chat first"))
    show("".join(f"{title:<12} {text}\n" for title, text in lines))
    return EXIT_OK


def check(path: str) -> int:
    """Do `skadi check`. Return 0 if every entry may run (even with warnings), 1 if some never runs."""
    config = load(path, os.environ)
    problems = [entry for entry in config.entries if entry.refusal]
    notes = list(config.warnings)
    if not config.token:
        notes.append("there is no token yet, run: skadi TOKEN")
    if config.server is None:
        notes.append("there is no server, add a line such as server: https://letserver.example")
    if not permission_problem(path) and os.stat(path).st_mode & 0o077:
        notes.append(f"others can read {path} and the token in it, run: chmod 600 {path}")
    for entry in config.entries:
        notes += [f"line {entry.line}: {entry.kind} {entry.name}: {risk}" for risk in risks_of(entry)]
    for note in notes:
        show(f"warning: {note}\n")
    if config.distrust:
        show(f"error: nothing runs: {config.distrust}\n")
    show(f"{path}: {count_text(config.entries)}, {len(notes)} warnings\n")
    return EXIT_FAILED if problems or config.distrust else EXIT_OK


def doctor(path: str) -> int:
    """Do `skadi doctor`. Return 0 if all is fine, 1 for warnings, 2 if the agent could not work."""
    findings = examine(load(path, os.environ), os.environ)
    show("".join(map(str, findings)))
    return max(finding.level for finding in findings)


def count_text(entries: Sequence[Entry]) -> str:
    """Return how many of the entries can run, as text."""
    good = sum(1 for entry in entries if not entry.refusal)
    return f"{good} of {len(entries)} entries can run"
