"""Start the simulator from a test, and let people act in it.

with Simulator.start(seed=7) as sim:
    sim.account(callback_url=f"{live.base}/wechat/callback", token="...", aes_key="...")
    alice = sim.user("alice")
    sim.follow(alice)
    assert sim.text(alice, "help").reply
    sim.wait_for(alice, lambda entry: entry["via"] == "kf" and "完成" in entry["text"])
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests

from tests.waiting import until

_ROOT: Final = Path(__file__).resolve().parents[2]
_READY_SECONDS: Final = 20.0
# Three deliveries of ten seconds each are the longest push.
_CALL_SECONDS: Final = 40.0

Entry = dict[str, Any]
Call = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The result of pushing one action of a person to the product.

    `reply`: the immediate reply, None without one. `deliveries`: each `{why, status, ms, answer, verdict, problem,
    reply}`. The product recognises repeats by `msgid` and `create_time`.
    """

    reply: str | None
    deliveries: Sequence[Mapping[str, Any]]
    paused: bool
    msgid: int | None
    create_time: int | None

    @property
    def replies(self) -> list[str | None]:
        """The reply to each delivery, None without one."""
        return [delivery["reply"] for delivery in self.deliveries]


class ControlError(AssertionError):
    """The simulator refused a control call; the text says why."""


class Simulator:
    """A running simulator. Its calls may come from several threads."""

    def __init__(self, base: str, control_token: str) -> None:
        self.base = base
        self.page = f"{base}/chat#{control_token}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.control_header = f"Bearer {control_token}"

    @classmethod
    @contextmanager
    def start(cls, *, seed: int = 1, port: int = 0, options: Sequence[str] = ()) -> Iterator[Simulator]:
        """Start a process, wait until it listens, and stop it on exit. `options` are those of the command line."""
        token = secrets.token_urlsafe(16)
        words = ["--port", str(port), "--seed", str(seed), f"--control-token={token}", *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "devtools.simulator", *words],
            cwd=_ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            found = re.match(r"(http://127\.0\.0\.1:\d+)/chat#", process.stdout.readline())
            if found is None:
                raise ControlError("the simulator did not start; what it says stands above")
            # The settings follow, up to an empty line.
            while process.stdout.readline().strip():
                continue
            simulator = cls(found[1], token)
            until(simulator._is_there, seconds=_READY_SECONDS)
            with simulator.session:
                yield simulator
        finally:
            process.terminate()
            process.stdout.close()
            process.wait(_READY_SECONDS)

    def _is_there(self) -> bool:
        return bool(self.control("GET", "health")["ok"])

    def control(
        self, method: str, path: str, options: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """Make a control call and return its JSON. Raises ControlError."""
        answer = self.session.request(
            method,
            f"{self.base}/_sim/{path}",
            headers={"Authorization": self.control_header},
            json=None if options is None else dict(options),
            params=dict(query or {}),
            timeout=_CALL_SECONDS,
        )
        if answer.status_code != 200:
            raise ControlError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    # Accounts.

    def settings(self, *names: str) -> dict[str, str]:
        """The product's settings for this simulator, named as in its environment (LETSERVER_...); all without names."""
        found = {f"LETSERVER_{name}": value for name, value in self.control("GET", "settings").items()}
        return {name: found[name] for name in names} if names else found

    def account(self, platform: str = "wechat", **values: Any) -> dict[str, Any]:
        """Change settings of the account and return all of them.

        wechat: appid secret token aes_key mode(plain|compat|safe) kind(service|subscription|test) callback_url
        kf_rules(`{"text": 5, "merge": "replace"}`) daily_limits(`{"template": 3}`) ip_allow deliveries timer_s(5.0,
        real) strict with_unionid; wecom: corp_id agent_id secret token aes_key callback_url ip_allow accounts
        deliveries; telegram: bot_token webhook_url webhook_secret deliveries per_chat; slack: signing_secret bot_token
        command_url command team_id per_second. For all: failures_allowed (before pushes pause for a minute).
        """
        found: dict[str, Any] = self.control("PUT", "account", {"platform": platform, **values})
        return found

    def robot(self, platform: str, key: str, **values: Any) -> str:
        """Add or change a robot, webhook or sink, and return the id of its conversation.

        feishu, dingtalk: secret keyword ip_allow gone; sink: secret status script(`[500, 0, 200]`, 0 hangs up) headers
        body delay_ms; wecom, slack and the services: gone.
        """
        return str(self.control("PUT", f"robots/{platform}/{quote(key)}", values)["chat"])

    def handshake(self, platform: str = "wechat") -> dict[str, Any]:
        """Check the product's callback address: `{ok, status, ms, answer, verdict, problem}`."""
        found: dict[str, Any] = self.control("POST", "handshake", {"platform": platform})
        return found

    # People.

    def user(self, nickname: str = "", *, platform: str = "wechat", openid: str = "", unionid: str = "") -> str:
        """Add a person and return their openid (userid, chat id, member id)."""
        named = {"nickname": nickname, "openid": openid, "unionid": unionid}
        options = {name: value for name, value in named.items() if value}
        return str(self.control("POST", "users", {"platform": platform, **options})["openid"])

    def act(self, openid: str, action: str, **options: Any) -> Pushed:
        """Let a person do something. With `wait=False`, return before the push reaches the product."""
        found = self.control("POST", f"users/{quote(openid)}/{action}", options)
        return Pushed(
            reply=found.get("reply"),
            deliveries=found.get("deliveries", []),
            paused=found.get("paused", False),
            msgid=found.get("MsgId"),
            create_time=found.get("CreateTime"),
        )

    def text(self, openid: str, content: str, *, menu_id: str = "", wait: bool = True) -> Pushed:
        """Write a line. On Slack, it is the text after the slash command."""
        return self.act(openid, "text", content=content, menu_id=menu_id, wait=wait)

    def event(self, openid: str, event: str, key: str = "", *, wait: bool = True) -> Pushed:
        """Cause any event."""
        return self.act(openid, "event", event=event, key=key, wait=wait)

    def follow(self, openid: str, scene: str = "", *, wait: bool = True) -> Pushed:
        """Follow the account; with a scene, as if through a QR code. On Telegram: unblock the bot."""
        return self.act(openid, "follow", scene=scene, wait=wait)

    def unfollow(self, openid: str, *, wait: bool = True) -> Pushed:
        """Unfollow the account. On Telegram: block the bot."""
        return self.act(openid, "unfollow", wait=wait)

    def scan(self, openid: str, ticket: str, *, wait: bool = True) -> Pushed:
        """Scan a QR code: its ticket, or the address that it holds."""
        return self.act(openid, "scan", ticket=ticket, wait=wait)

    def menu(self, openid: str, key: str, event: str = "CLICK", *, wait: bool = True) -> Pushed:
        """Choose from the menu."""
        return self.act(openid, "menu", key=key, event=event, wait=wait)

    def refuse_template(self, openid: str, *, on: bool = True, late: bool = False) -> None:
        """Refuse template messages: at once (43101), or late (accepted, then `failed:user block`)."""
        self.act(openid, "refuse_template", on=on, late=late)

    # State, conversations and logged requests.

    def state(self) -> dict[str, Any]:
        """Return the conversations with their windows, the menu, valid QR codes, faults and the time."""
        found: dict[str, Any] = self.control("GET", "state")
        return found

    def person(self, openid: str) -> dict[str, Any]:
        """Return one person of `state()`: `{followed, left, until, windows, typing, ...}`."""
        found: dict[str, Any] = next(chat for chat in self.state()["chats"] if chat["id"] == openid)
        return found

    def transcript(self, chat: str, after: int = 0) -> list[Entry]:
        """Return the entries of a conversation; `chat` is an openid, or `platform:key` of a robot or sink.

        Each: `{seq, who: user|account|system, via, text, left, until, ...}`; a template card has `rows`, `url`, `data`,
        `template_id`, `client_msg_id`, a sink's entry `headers`, `verified`, `problem`, `repeat`.
        """
        platform, colon, key = chat.partition(":")
        path = f"rooms/{platform}/{quote(key)}" if colon else f"users/{quote(chat)}/transcript"
        entries: list[Entry] = self.control("GET", path, query={"after": after})["entries"]
        return entries

    def wait_for(self, chat: str, wanted: Callable[[Entry], object], *, after: int = 0, seconds: float = 10.0) -> Entry:
        """Wait for an entry for which `wanted` is true, and return it."""
        return until(
            lambda: next((entry for entry in self.transcript(chat, after) if wanted(entry)), {}), seconds=seconds
        )

    def calls(self, path: str = "", *, openid: str = "", after: int = 0) -> list[Call]:
        """Return the product's calls (`path`: a glob) as `{seq, path, query, headers, body, status, answer, ms}`."""
        return self._hops({"direction": "in", "path": path, "openid": openid, "after": after})

    def pushes(self, platform: str = "*", *, openid: str = "", after: int = 0) -> list[Call]:
        """Return the pushes to the product. `plain` is the body before encryption, `note` the check of the answer."""
        return self._hops({"direction": "out", "path": f"push/{platform}", "openid": openid, "after": after})

    def _hops(self, query: Mapping[str, Any]) -> list[Call]:
        found: list[Call] = self.control("GET", "calls", query=query)["calls"]
        return found

    # Time and faults.

    def clock(self, advance_s: float) -> float:
        """Move the platforms' time forward and return it."""
        return float(self.control("POST", "clock", {"advance_s": advance_s})["now"])

    def stop_clock(self) -> None:
        """Freeze the platforms' time until a reset; only `clock` moves it."""
        self.control("POST", "clock", {"stop": True})

    def fault(
        self, action: str, path: str = "", *, openid: str = "", nth: int | None = None, times: int | None = 1
    ) -> None:
        """Inject a fault of the list in `faults.py`, `times` times; None: until `heal` or a reset."""
        self.control(
            "POST",
            "faults",
            {"action": action, "match": {"path": path, "openid": openid, "nth": nth}, "times": times},
        )

    def faults(self) -> list[dict[str, Any]]:
        """Return the injected faults, with the number of calls that each has changed (`used`)."""
        found: list[dict[str, Any]] = self.control("GET", "faults")["faults"]
        return found

    def heal(self) -> None:
        """Remove all faults."""
        self.control("DELETE", "faults")

    def reset(self, *, keep_accounts: bool = False) -> None:
        """Start from an empty world at the real time; `keep_accounts` keeps the settings of the accounts."""
        self.control("POST", "reset", {"keep_accounts": keep_accounts})
