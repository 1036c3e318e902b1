"""The request of `skadi run AGENT TEXT`, read from its command line and two environment variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping, Sequence

from skadi.config import ConfigError, Server, parse_server
from skadi.exit_codes import EXIT_CONFIG

USER_TOKEN = re.compile(r"ls[uj]_[!-~]+\Z")
OPTIONS = ("--server", "--ttl", "--wait-for-agent", "--timeout")
MOST_SECONDS = 400 * 86400


class RunExit(Exception):
    """`skadi run` ends with this exit code; `sentence` is for stderr, or empty."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True)
class RunRequest:
    """A job to run on an agent. `ttl` and `timeout` are seconds, or None if not given."""

    agent: str
    message: str
    server: Server
    token: str
    ttl: int | None = None
    timeout: float | None = None


def read_run_request(words: Sequence[str], environment: Mapping[str, str]) -> RunRequest:
    """Read the words behind `run`. Options may come anywhere before `--`; the rest is the text. Raises RunExit."""
    options: dict[str, str] = {}
    text: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            text += rest
            break
        name, equals, value = word.partition("=")
        if name not in OPTIONS:
            text.append(word)
            continue
        if not equals and not rest:
            raise RunExit(EXIT_CONFIG, f"{name} needs a value")
        options[name] = value if equals else rest.pop(0)
    if len(text) < 2 or not " ".join(text[1:]).strip():
        raise RunExit(EXIT_CONFIG, "say which agent and what to run: skadi run AGENT TEXT")
    if "--ttl" in options and "--wait-for-agent" in options:
        raise RunExit(EXIT_CONFIG, "--ttl and --wait-for-agent are the same, give one of them")
    ttl = options.get("--ttl", options.get("--wait-for-agent"))
    timeout = options.get("--timeout")
    return RunRequest(
        agent=text[0],
        message=" ".join(text[1:]),
        server=_server(options.get("--server") or environment.get("SKADI_SERVER", "")),
        token=_token(environment.get("SKADI_TOKEN", "")),
        ttl=None if ttl is None else _seconds("--ttl" if "--ttl" in options else "--wait-for-agent", ttl),
        timeout=None if timeout is None else float(_seconds("--timeout", timeout)),
    )


def _server(address: str) -> Server:
    if not address:
        raise RunExit(EXIT_CONFIG, "say where the server is: --server https://letserver.example, or set SKADI_SERVER")
    try:
        return parse_server(address, insecure_allowed=False)
    except ConfigError as error:
        if address.startswith("http://"):
            raise RunExit(
                EXIT_CONFIG, "plain http shows the token to the network, it is for this machine only: use https://"
            ) from error
        raise RunExit(EXIT_CONFIG, f"--{error}") from error


def _token(token: str) -> str:
    if not token:
        raise RunExit(EXIT_CONFIG, "set SKADI_TOKEN to a token of yours for jobs (lsj_... or lsu_...)")
    if not USER_TOKEN.match(token):
        raise RunExit(EXIT_CONFIG, "SKADI_TOKEN is not a token for jobs: those begin with lsj_ or lsu_")
    return token


def _seconds(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= MOST_SECONDS and len(text) <= 10):
        raise RunExit(EXIT_CONFIG, f"{name} needs a whole number of seconds, not {text}")
    return int(text)
