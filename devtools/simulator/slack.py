"""Slack: incoming webhooks, chat.postMessage, slash commands and their response_url (Slack API)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from devtools.simulator import errors
from devtools.simulator.base import NotHere, Platform, Route, keep_known, text_of
from devtools.simulator.clock import Pace
from devtools.simulator.crypto import slack_signature
from devtools.simulator.push import Outgoing, Push, Pusher, Tamper, Verdict
from devtools.simulator.robots import all_text
from devtools.simulator.wire import Fetched, Request, Response
from devtools.simulator.world import Chat, World

_COMMAND_SECONDS: Final = 3.0
_ANSWERS: Final = 5
_ANSWER_SECONDS: Final = 1800
_CHARACTERS: Final = 40_000


@dataclass(slots=True, kw_only=True)
class Workspace:
    """Settings of the workspace and its app. `per_second`: messages to one webhook or channel."""

    signing_secret: str = "simulator-slack-signing-secret-01"
    bot_token: str = "xoxb-simulator-slack-token"
    command_url: str = ""
    command: str = "/letserver"
    team_id: str = "T00000001"
    per_second: int = 1


@dataclass(slots=True, kw_only=True)
class _ResponseUrl:
    chat: Chat
    until: float
    left: int = _ANSWERS


class Slack(Platform):
    """One workspace with one app."""

    name = "slack"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._workspace = Workspace()
        self._hooks: set[str] = {"T00000001/B00000001/demodemodemodemodemodemo"}
        self._pace = Pace.of(world.clock, self._workspace.per_second, 1)
        self._response_urls: dict[str, _ResponseUrl] = {}

    def routes(self) -> list[Route]:
        """Webhooks, one method, and answers to commands."""
        return [
            Route.of("/services/(?P<key>.+)", self._hook),
            Route.of("/api/chat.postMessage", self._post_message),
            Route.of("/commands/(?P<key>.+)", self._respond),
        ]

    def settings(self) -> Mapping[str, str]:
        workspace = self._workspace
        return {
            "SLACK_BASE": self.world.base,
            "SLACK_API_BASE": self.world.base,
            "SLACK_SIGNING_SECRET": workspace.signing_secret,
            "SLACK_BOT_TOKEN": workspace.bot_token,
        }

    def refuse(self, code: str, **words: object) -> Response:
        row = errors.SLACK[code]
        answer = Response.of_text(row.message, row.status)
        if row.status == 429:
            answer.headers["Retry-After"] = str(words.get("seconds", 30))
        return answer

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the settings. Raises ValueError."""
        known = {name: type(getattr(self._workspace, name)) for name in Workspace.__slots__}
        for name, value in keep_known(options, known).items():
            setattr(self._workspace, name, value)
        self._pace.number = self._workspace.per_second

    def account(self) -> Mapping[str, object]:
        return {name: getattr(self._workspace, name) for name in Workspace.__slots__}

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add or remove a webhook, by the last three parts of its address. Raises ValueError."""
        if keep_known(options, {"gone": bool}).get("gone"):
            self._hooks.discard(key)
        else:
            self._hooks.add(key)

    # Calls of the product.

    def _hook(self, request: Request, match: re.Match[str]) -> Response:
        if match["key"] not in self._hooks:
            return self.refuse("no_service")
        try:
            values = request.fields()
            if isinstance(values.get("payload"), str):
                values = json.loads(str(values["payload"]))
        except ValueError:
            return self.refuse("invalid_payload")
        if not _has_text(values):
            return self.refuse("no_text")
        wait = self._pace.take(match["key"])
        if wait:
            return self.refuse("rate_limited", seconds=max(1, round(wait)))
        self._show(self.world.room(self.name, match["key"]), values, "robot")
        return Response.of_text("ok")

    def _show(self, chat: Chat, values: Mapping[str, object], via: str) -> None:
        text = values.get("text") if isinstance(values.get("text"), str) else ""
        more = all_text([values.get("blocks", []), values.get("attachments", [])])
        self.world.note(chat, "account", via, str(text) or more, content=dict(values))

    @staticmethod
    def _no(code: str, **words: object) -> Response:
        row = errors.SLACK_METHODS[code]
        headers = {"Retry_After": str(words["seconds"])} if "seconds" in words else {}
        return Response.of_json({"ok": False, "error": code}, row.status, **headers)

    def _post_message(self, request: Request, _match: re.Match[str]) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return self._no("not_authed")
        if token != self._workspace.bot_token:
            return self._no("invalid_auth")
        try:
            values = request.fields()
        except ValueError:
            values = {}
        chat = self.world.chats.get(str(values.get("channel", "")))
        if chat is None or chat.platform != self.name:
            return self._no("channel_not_found")
        if not _has_text(values):
            return self._no("no_text")
        if len(str(values.get("text", ""))) > _CHARACTERS:
            return self._no("msg_too_long")
        wait = self._pace.take(chat.id)
        if wait:
            return self._no("ratelimited", seconds=max(1, round(wait)))
        self._show(chat, values, "bot")
        stamp = f"{time.time():.6f}"
        message = {"type": "message", "text": values.get("text", ""), "ts": stamp}
        return Response.of_json({"ok": True, "channel": chat.id, "ts": stamp, "message": message})

    def _respond(self, request: Request, match: re.Match[str]) -> Response:
        known = self._response_urls.get(match["key"])
        if known is None or known.until <= self.world.clock.now():
            return self.refuse("expired_url")
        if known.left == 0:
            return self.refuse("used_url")
        try:
            values = request.fields()
        except ValueError:
            return self.refuse("invalid_payload")
        if not _has_text(values):
            return self.refuse("no_text")
        known.left -= 1
        self._show(known.chat, values, "response")
        return Response.of_text("ok")

    # People.

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a member of the workspace. Raises ValueError."""
        userid = text_of(options, "openid", default="") or "U" + self.world.word(9).upper()
        name = text_of(options, "nickname", default="") or userid.lower()
        return self.world.new_chat(chat_id=userid, platform=self.name, name=name, kind="user")

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Type the slash command. Raises NotHere, ValueError."""
        if action != "text":
            raise NotHere(f"nobody can {action} at slack")
        content = text_of(options, "content")
        workspace = self._workspace
        self.world.note(chat, "user", "text", f"{workspace.command} {content}".rstrip())
        if not workspace.command_url:
            return {"paused": False, "reply": None, "deliveries": []}
        key = f"{workspace.team_id}/{self.world.rng.randrange(10**12)}/{self.world.word(24)}"
        self._response_urls[key] = _ResponseUrl(chat=chat, until=self.world.clock.now() + _ANSWER_SECONDS)
        form = {
            "token": self.world.word(24),
            "team_id": workspace.team_id,
            "team_domain": "letserver",
            "channel_id": "D" + chat.id[1:],
            "channel_name": "directmessage",
            "user_id": chat.id,
            "user_name": chat.name,
            "command": workspace.command,
            "text": content,
            "api_app_id": "A00000001",
            "is_enterprise_install": "false",
            "response_url": f"{self.world.base}/commands/{key}",
            "trigger_id": f"{self.world.rng.randrange(10**12)}.1.{self.world.word(32).lower()}",
        }
        return await self.pusher.send(
            Push(
                platform=self.name,
                chat=chat,
                build=lambda tamper: self._build(form, tamper),
                read=_read,
                seconds=_COMMAND_SECONDS,
                deliveries=1,
                trouble=f"{workspace.command} failed with the error “operation_timeout”",
            )
        )

    def _build(self, form: Mapping[str, str], tamper: Tamper) -> Outgoing:
        body = urlencode(form).encode()
        timestamp = str(int(time.time()) - tamper.seconds_old)
        signature = slack_signature(timestamp, body, self._workspace.signing_secret)
        signed = "v0=" + "0" * 64 if tamper.bad_signature else signature
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signed,
        }
        plain = "\n".join(f"{name}={value}" for name, value in form.items())
        return Outgoing(url=self._workspace.command_url, headers=headers, body=body, plain=plain)


def _has_text(values: Mapping[str, object]) -> bool:
    return any(values.get(name) for name in ("text", "blocks", "attachments"))


def _read(fetched: Fetched) -> Verdict:
    """Read an empty answer, a plain text, or a message as JSON."""
    if not fetched.body.strip():
        return Verdict(kind="silent")
    text = fetched.body.decode("utf-8", "replace")
    if not fetched.headers.get("content-type", "").startswith("application/json"):
        return Verdict(kind="reply", text=text)
    try:
        values = json.loads(text)
    except ValueError:
        return Verdict(kind="bad", why="not JSON")
    if not isinstance(values, dict) or not _has_text(values):
        return Verdict(kind="silent")
    kind = str(values.get("response_type", "ephemeral"))
    return Verdict(kind="reply", text=str(values.get("text", "")) or all_text(values), extra={"format": kind})
