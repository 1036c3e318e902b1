"""Telegram: one bot that people write to and that writes to them (Telegram Bot API)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from devtools.simulator import errors
from devtools.simulator.base import NotHere, Platform, Route, keep_known, text_of
from devtools.simulator.clock import Pace
from devtools.simulator.push import Outgoing, Push, Pusher, Tamper, Verdict
from devtools.simulator.wire import Fetched, Request, Response
from devtools.simulator.world import Chat, World

_CHARACTERS: Final = 4096
_WEBHOOK_SECONDS: Final = 10.0
_MARKDOWN_RESERVED: Final = re.compile(r"(?<!\\)([.!\-+={}#|])")
_CODE: Final = re.compile(r"```.*?```|`[^`]*`|\]\([^)]*\)", re.DOTALL)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z-]+)[^>]*>")


@dataclass(slots=True, kw_only=True)
class Bot:
    """Settings of the bot. `per_chat`: messages a second to one chat."""

    bot_token: str = "1234567890:simulator-telegram-token-0123456789"
    webhook_url: str = ""
    webhook_secret: str = "simulator-telegram-webhook-secret"
    deliveries: int = 3
    per_chat: int = 1


class _Refused(Exception):
    def __init__(self, code: int, **words: object) -> None:
        super().__init__(code)
        self.code = code
        self.words = words


class Telegram(Platform):
    """One bot."""

    name = "telegram"

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._bot = Bot()
        self._blocked: set[str] = set()
        self._update = world.rng.randrange(10**8, 9 * 10**8)
        self._message = 0
        self._all = Pace.of(world.clock, 30, 1)
        self._chat = Pace.of(world.clock, self._bot.per_chat, 1)
        self._group = Pace.of(world.clock, 20, 60)

    def routes(self) -> list[Route]:
        return [Route.of("/bot(?P<token>[^/]+)/(?P<method>[A-Za-z]+)", self._call)]

    def settings(self) -> Mapping[str, str]:
        return {
            "TELEGRAM_BASE": self.world.base,
            "TELEGRAM_BOT_TOKEN": self._bot.bot_token,
            "TELEGRAM_WEBHOOK_SECRET": self._bot.webhook_secret,
        }

    def refuse(self, code: str, **words: object) -> Response:
        """Return the refusal as JSON, with the code as its HTTP status too."""
        row = errors.TELEGRAM[code]
        text = row.message.format(**{"why": "invalid", "seconds": 3, **words})
        more: dict[str, object] = {}
        headers = {}
        if code == "429":
            seconds = words.get("seconds", 3)
            more, headers = {"parameters": {"retry_after": seconds}}, {"Retry_After": str(seconds)}
        body = {"ok": False, "error_code": int(code), "description": text, **more}
        return Response.of_json(body, row.status, **headers)

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the settings. Raises ValueError."""
        known = {name: type(getattr(self._bot, name)) for name in Bot.__slots__}
        for name, value in keep_known(options, known).items():
            setattr(self._bot, name, value)
        self._chat.number = self._bot.per_chat

    def account(self) -> Mapping[str, object]:
        return {name: getattr(self._bot, name) for name in Bot.__slots__}

    # The bot's calls.

    def _call(self, request: Request, match: re.Match[str]) -> Response:
        if match["token"] != self._bot.bot_token:
            return self.refuse("401")
        methods = {
            "getme": self._get_me,
            "sendmessage": self._send,
            "sendchataction": self._chat_action,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
        }
        method = methods.get(match["method"].lower())
        if method is None:
            return self.refuse("404")
        try:
            values = {**request.query, **(request.fields() if request.body else {})}
        except ValueError:
            return self.refuse("400", why="can't parse JSON object")
        try:
            return Response.of_json({"ok": True, "result": method(values)})
        except _Refused as refused:
            return self.refuse(str(refused.code), **refused.words)

    def _get_me(self, _values: Mapping[str, object]) -> object:
        number = int(self._bot.bot_token.partition(":")[0])
        return {"id": number, "is_bot": True, "first_name": "LetServer", "username": "letserver_bot"}

    def _find(self, values: Mapping[str, object]) -> Chat:
        chat = self.world.chats.get(str(values.get("chat_id", "")))
        if chat is None or chat.platform != self.name:
            raise _Refused(400, why="chat not found")
        if chat.id in self._blocked:
            raise _Refused(403)
        return chat

    def _send(self, values: Mapping[str, object]) -> object:
        chat = self._find(values)
        text = values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise _Refused(400, why="message text is empty")
        if len(text) > _CHARACTERS:
            raise _Refused(400, why="message is too long")
        why = _entity_problem(text, str(values.get("parse_mode") or "").lower())
        if why:
            raise _Refused(400, why=f"can't parse entities: {why}")
        paces = [self._all, self._group if chat.id.startswith("-") else self._chat]
        wait = max(pace.take(chat.id if pace is not self._all else "") for pace in paces)
        if wait:
            raise _Refused(429, seconds=max(1, round(wait)))
        self._message += 1
        mode = str(values.get("parse_mode") or "")
        self.world.note(chat, "account", "bot", text, format=mode, content=dict(values))
        return {
            "message_id": self._message,
            "from": self._get_me({}),
            "chat": self._shown(chat),
            "date": int(time.time()),
            "text": text,
        }

    def _chat_action(self, values: Mapping[str, object]) -> object:
        chat = self._find(values)
        self.world.note(chat, "account", "typing", "", until=self.world.clock.now() + 5)
        return True

    def _set_webhook(self, values: Mapping[str, object]) -> object:
        self._bot.webhook_url = str(values.get("url") or "")
        self._bot.webhook_secret = str(values.get("secret_token") or "")
        return True

    def _delete_webhook(self, _values: Mapping[str, object]) -> object:
        self._bot.webhook_url = ""
        return True

    def _webhook_info(self, _values: Mapping[str, object]) -> object:
        return {"url": self._bot.webhook_url, "has_custom_certificate": False, "pending_update_count": 0}

    # People.

    @staticmethod
    def _shown(chat: Chat) -> dict[str, object]:
        kind = "group" if chat.id.startswith("-") else "private"
        return {"id": int(chat.id), "type": kind, "first_name": chat.name}

    def add_person(self, options: Mapping[str, object]) -> Chat:
        """Add a person who wrote to the bot; an id below 0 is a group. Raises ValueError."""
        number = text_of(options, "openid", default="") or str(self.world.rng.randrange(10**8, 10**10))
        name = text_of(options, "nickname", default="") or f"tg {number}"
        if not number.lstrip("-").isdigit():
            raise ValueError("openid: a number")
        return self.world.new_chat(chat_id=number, platform=self.name, name=name, kind="user")

    def person(self, chat: Chat) -> Mapping[str, object]:
        """Return whether the person blocked the bot."""
        return {"blocked": chat.id in self._blocked}

    async def act(self, chat: Chat, action: str, options: Mapping[str, object]) -> Mapping[str, object]:
        """Write, block or unblock. Raises NotHere, ValueError."""
        if action in ("unfollow", "follow"):
            (self._blocked.add if action == "unfollow" else self._blocked.discard)(chat.id)
            self.world.publish("people", None)
            return {}
        if action != "text":
            raise NotHere(f"nobody can {action} at telegram")
        content = text_of(options, "content")
        self.world.note(chat, "user", "text", content)
        if not self._bot.webhook_url:
            return {"paused": False, "reply": None, "deliveries": []}
        self._update += 1
        self._message += 1
        person = {"id": abs(int(chat.id)), "is_bot": False, "first_name": chat.name, "language_code": "zh-hans"}
        command = re.match(r"/\w+", content)
        entity = {"type": "bot_command", "offset": 0, "length": len(command[0])} if command else None
        message = {
            "message_id": self._message,
            "from": person,
            "chat": self._shown(chat),
            "date": int(time.time()),
            "text": content,
            **({"entities": [entity]} if entity else {}),
        }
        update = json.dumps({"update_id": self._update, "message": message}, ensure_ascii=False)
        sent = await self.pusher.send(
            Push(
                platform=self.name,
                chat=chat,
                build=lambda tamper: self._build(update, tamper),
                read=lambda fetched: self._read(fetched, chat),
                seconds=_WEBHOOK_SECONDS,
                deliveries=self._bot.deliveries,
            )
        )
        return {**sent, "update_id": self._update}

    def _build(self, update: str, tamper: Tamper) -> Outgoing:
        secret = self._bot.webhook_secret[::-1] if tamper.bad_signature else self._bot.webhook_secret
        named = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
        headers = {"Content-Type": "application/json", **named}
        return Outgoing(url=self._bot.webhook_url, headers=headers, body=update.encode(), plain=update)

    def _read(self, fetched: Fetched, chat: Chat) -> Verdict:
        """Call the method that the answer names, as Telegram does (Making requests when getting updates)."""
        try:
            values = json.loads(fetched.body)
        except ValueError:
            return Verdict(kind="silent")
        if not isinstance(values, dict) or str(values.get("method", "")).lower() != "sendmessage":
            return Verdict(kind="silent")
        if str(values.get("chat_id")) != chat.id or not isinstance(values.get("text"), str):
            return Verdict(kind="bad", why="chat_id or text does not hold")
        mode = str(values.get("parse_mode") or "")
        return Verdict(kind="reply", text=values["text"], extra={"format": mode})

    async def handshake(self) -> Mapping[str, object]:
        """Raise NotHere: Telegram does not check an address when it is set."""
        await asyncio.sleep(0)
        raise NotHere("telegram checks no address")


def _entity_problem(text: str, mode: str) -> str:
    """Return why the text cannot be parsed in its mode, or "". Finds common mistakes only (Formatting options)."""
    if mode == "markdownv2":
        found = _MARKDOWN_RESERVED.search(_CODE.sub("", text))
        return f"Character '{found[1]}' is reserved and must be escaped with the preceding '\\'" if found else ""
    if mode == "markdown":
        outside = re.sub(r"\\.", "", _CODE.sub("", text))
        odd = [mark for mark in "*_`" if outside.count(mark) % 2]
        return f"Can't find end of the entity starting at byte offset {text.find(odd[0])}" if odd else ""
    if mode == "html":
        open_tags: list[str] = []
        for closing, name in _TAG.findall(text):
            if not closing:
                open_tags.append(name)
            elif not open_tags or open_tags.pop() != name:
                return f"Unmatched end tag </{name}>"
        return f"Can't find end tag corresponding to start tag {open_tags[-1]}" if open_tags else ""
    return ""
