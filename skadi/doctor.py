"""`skadi doctor`: check whether an agent with this configuration could work here. It runs no command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Mapping

from skadi.client import Client, Unreachable
from skadi.config import Config, Server
from skadi.journal import default_state_dir
from skadi.safe_text import one_line
from skadi.spool import free_floor_mb, write_problem
from skadi.trust import Distrust, open_state_folder
from skadi.whoami import ask_who_am_i, read_identity

OK, WARNING, ERROR = 0, 1, 2
LEVEL_NAMES = ("ok", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One line of the result: the level, and a sentence that says what to do."""

    level: int
    text: str

    def __str__(self) -> str:
        return f"{LEVEL_NAMES[self.level]}: {one_line(self.text)}\n"


def examine(config: Config, environment: Mapping[str, str]) -> list[Finding]:
    """Check the configuration, the state folder and the connection to the server."""
    findings = [Finding(WARNING, warning) for warning in config.warnings]
    findings += [
        Finding(WARNING, f"line {entry.line}: {entry.kind} {entry.name} never runs: {entry.refusal}")
        for entry in config.entries
        if entry.refusal
    ]
    if config.distrust:
        findings.append(Finding(ERROR, f"nothing runs: {config.distrust}"))
    if not findings:
        findings.append(Finding(OK, f"{config.path}: {len(config.entries)} entries"))
    return [*findings, _state(config, environment), _server(config.server, config.token)]


def _state(config: Config, environment: Mapping[str, str]) -> Finding:
    folder = environment.get("SKADI_STATE_DIR") or config.state_dir or default_state_dir(dict(environment))
    if not os.path.isdir(folder):
        return Finding(OK, f"the state folder {folder} is made at the first start")
    try:
        os.close(open_state_folder(os.path.realpath(folder)))
    except Distrust as error:
        return Finding(ERROR, f"the state folder {folder} cannot be trusted: {error}")
    except OSError as error:
        return Finding(ERROR, f"the state folder {folder} cannot be used: {error.strerror}")
    problem = write_problem(folder, free_floor_mb(environment))
    if problem:
        return Finding(ERROR, f"the state folder {folder} {problem}: make room, or name another with `state_dir:`")
    return Finding(OK, f"the state folder {folder} can be written")


def _server(server: Server | None, token: str) -> Finding:
    if server is None or not token:
        return Finding(ERROR, "the file has no server or no token: add `server:`, and run: skadi TOKEN")
    client = Client(server, token)
    try:
        reply = ask_who_am_i(client)
    except Unreachable as error:
        return Finding(ERROR, f"{server} is not reached ({error}): check `server:` and the network")
    finally:
        client.close()
    identity = read_identity(reply)
    if identity is not None:
        return Finding(OK, f"{server} knows this agent as {identity}, protocol {reply.protocol()}")
    if reply.status == 401:
        return Finding(
            ERROR, f"{server} does not know the token: make a new one on the agent's page, and run: skadi TOKEN"
        )
    if reply.status == 404:
        return Finding(WARNING, f"{server} is too old to say whether the token is good")
    return Finding(
        ERROR, f"{server} answers {reply.status} {reply.error_code()}: is it a letserver, and the agent enabled?"
    )
