"""Services that only receive: Discord, Teams, Bark, PushPlus, ServerChan, WxPusher, ntfy and Gotify.

Each has its own prefix and its own format of success and refusal. Self-hosted services and Teams answer at the root
too, because their clients accept only a host. Each knows the key `demo`; `PUT /_sim/robots/<service>/<key>` adds
others, `{"gone": true}` removes one.
"""

from __future__ import annotations

import json
import re
import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from devtools.simulator import errors
from devtools.simulator.base import Platform, Route, keep_known
from devtools.simulator.clock import Pace
from devtools.simulator.push import Pusher
from devtools.simulator.robots import all_text
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import World

DEMO_KEY = "demo"


class Service(Platform):
    """The base of the services: known keys, a rate limit, a body with a text."""

    pattern: ClassVar[str]
    """A regular expression of the paths, with `(?P<key>...)` if the key is a part of the path."""
    pace: ClassVar[tuple[int, float, str]]
    """Number of messages, seconds, and the code of the refusal above that rate."""
    unknown: ClassVar[str]
    """The code for an unknown key."""
    unreadable: ClassVar[str]
    """The code for a body that cannot be parsed."""

    def __init__(self, world: World, pusher: Pusher) -> None:
        super().__init__(world, pusher)
        self._keys = {DEMO_KEY}
        number, seconds, self._too_fast = self.pace
        self._pace = Pace.of(world.clock, number, seconds)

    def routes(self) -> list[Route]:
        return [Route.of(self.pattern, self._take)]

    def configure_robot(self, key: str, options: Mapping[str, object]) -> None:
        """Add or remove a key. Raises ValueError."""
        if keep_known(options, {"gone": bool}).get("gone"):
            self._keys.discard(key)
        else:
            self._keys.add(key)

    def _take(self, request: Request, match: re.Match[str]) -> Response:
        try:
            values = request.fields()
        except ValueError:
            return self.refuse(self.unreadable)
        key = self.key(request, match.groupdict(), values)
        if key not in self._keys:
            return self.refuse(self.unknown, key=key)
        code = self.problem(values, request)
        if code:
            return self.refuse(code)
        wait = self._pace.take(key)
        if wait:
            return self.refuse(self._too_fast, seconds=max(1, round(wait)))
        self.world.note(self.world.room(self.name, key), "account", "robot", self.text(values), content=values)
        return self.success(values)

    def key(self, _request: Request, parts: Mapping[str, str], _values: Mapping[str, object]) -> str:
        """Return the key of the receiver."""
        return parts["key"]

    def problem(self, _values: Mapping[str, object], _request: Request) -> str:
        """Return the code of the refusal for an invalid body, or ""."""
        return ""

    def text(self, values: Mapping[str, object]) -> str:
        """Return the text that a person reads."""
        return all_text(dict(values))

    @abstractmethod
    def success(self, values: Mapping[str, object]) -> Response:
        """Return the answer to an accepted message."""


def _words(values: Mapping[str, object], *names: str) -> str:
    return "\n".join(str(values[name]) for name in names if values.get(name))


class Discord(Service):
    """Channel webhooks: 204 without a body, at most 2000 characters, 5 messages in 2 seconds."""

    name = "discord"
    pattern = r"/discord/api/webhooks/(?P<key>[^/]+)/(?P<secret>[^/]+)"
    pace = (5, 2.0, "429")
    unknown = "10015"
    unreadable = "50035"

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        if len(str(values.get("content") or "")) > 2000:
            return "50035"
        return "" if values.get("content") or values.get("embeds") else "50006"

    def success(self, _values: Mapping[str, object]) -> Response:
        return Response(status=204, headers={"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4"})

    def refuse(self, code: str, **words: object) -> Response:
        """`message` and `code`; above the rate also `retry_after`."""
        row = errors.DISCORD[code]
        if code != "429":
            return Response.of_json({"message": row.message, "code": int(code)}, row.status)
        seconds = words.get("seconds", 2)
        body = {"message": row.message, "retry_after": float(str(seconds)), "global": False}
        return Response.of_json(body, row.status, Retry_After=str(seconds))


class Teams(Service):
    """The address of a workflow: 202 without a body, at most 28 KB."""

    name = "teams"
    pattern = (
        r"(?:/teams)?(?:/powerautomate/automations/direct(?:/cu/\d+)?)?"
        r"/workflows/(?P<key>[^/]+)/triggers/manual/paths/invoke/?"
    )
    pace = (4, 1.0, "TooManyRequests")
    unknown = "WorkflowNotFound"
    unreadable = "InvalidRequestContent"

    def problem(self, values: Mapping[str, object], request: Request) -> str:
        if not request.query.get("sig"):
            return "DirectApiAuthorizationRequired"
        if len(request.body) > 28 * 1024:
            return "RequestEntityTooLarge"
        return "" if values.get("attachments") or values.get("type") else "InvalidRequestContent"

    def success(self, _values: Mapping[str, object]) -> Response:
        """202 without a body: the answer does not say whether the card was posted."""
        return Response(status=202)

    def refuse(self, code: str, **_words: object) -> Response:
        row = errors.TEAMS[code]
        return Response.of_json({"error": {"code": code, "message": row.message}}, row.status)


class Bark(Service):
    """A self-hosted push server for iPhones: `device_key` in the body."""

    name = "bark"
    pattern = r"(?:/bark)?/push"
    pace = (60, 60.0, "429")
    unknown = "400"
    unreadable = "400"

    def key(self, _request: Request, _parts: Mapping[str, str], values: Mapping[str, object]) -> str:
        return str(values.get("device_key", ""))

    def problem(self, _values: Mapping[str, object], request: Request) -> str:
        """Apple accepts at most 4 KB."""
        return "413" if len(request.body) > 4096 else ""

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "title", "subtitle", "body")

    def success(self, _values: Mapping[str, object]) -> Response:
        return Response.of_json({"code": 200, "message": "success", "timestamp": int(time.time())})

    def refuse(self, code: str, **words: object) -> Response:
        row = errors.BARK[code]
        message = row.message.format(**{"key": "", "why": "BadDeviceToken", **words})
        return Response.of_json({"code": row.status, "message": message, "timestamp": int(time.time())}, row.status)


class PushPlus(Service):
    """HTTP 200 always; code 200 in the body is success."""

    name = "pushplus"
    pattern = r"/pushplus/send"
    pace = (5, 60.0, "900")
    unknown = "903"
    unreadable = "999"

    def key(self, _request: Request, _parts: Mapping[str, str], values: Mapping[str, object]) -> str:
        return str(values.get("token", ""))

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        return "" if values.get("content") else "999"

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "title", "content")

    def success(self, _values: Mapping[str, object]) -> Response:
        """`data` is the message's number."""
        return Response.of_json({"code": 200, "msg": "请求成功", "data": self.world.word(32).lower(), "count": None})

    def refuse(self, code: str, **_words: object) -> Response:
        return Response.of_json({"code": int(code), "msg": errors.PUSHPLUS[code].message, "data": None})


class ServerChan(Service):
    """`/<SendKey>.send` takes a form; code 0 in the body is success."""

    name = "serverchan"
    pattern = r"/serverchan/(?P<key>[^/]+)\.send"
    pace = (5, 60.0, "40009")
    unknown = "40001"
    unreadable = "40003"

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        return "" if values.get("title") else "40003"

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "title", "desp")

    def success(self, _values: Mapping[str, object]) -> Response:
        data = {"pushid": str(self.world.rng.randrange(10**8)), "readkey": self.world.word(16), "error": "SUCCESS"}
        return Response.of_json({"code": 0, "message": "", "data": {**data, "errno": 0}})

    def refuse(self, code: str, **_words: object) -> Response:
        """`code` and `message`; an unknown key with HTTP 400."""
        row = errors.SERVERCHAN[code]
        body = {"message": row.message, "code": int(code), "info": row.message, "args": [None], "scode": 461}
        return Response.of_json(body, row.status)


class WxPusher(Service):
    """HTTP 200 always; code 1000 in the body is success."""

    name = "wxpusher"
    pattern = r"/wxpusher/api/send/message"
    pace = (2, 1.0, "1001")
    unknown = "1002"
    unreadable = "1001"

    def key(self, _request: Request, _parts: Mapping[str, str], values: Mapping[str, object]) -> str:
        """The application's token; apprise requires the prefix AT_."""
        return str(values.get("appToken", "")).removeprefix("AT_")

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        """A text and a receiver are required."""
        return "" if values.get("content") and (values.get("uids") or values.get("topicIds")) else "1001"

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "summary", "content")

    def success(self, values: Mapping[str, object]) -> Response:
        """`data` has one item per receiver."""
        uids = values.get("uids")
        data = [
            {"uid": uid, "topicId": None, "messageId": number, "code": 1000, "status": "创建发送任务成功"}
            for number, uid in enumerate(uids if isinstance(uids, list) else [], 1)
        ]
        return Response.of_json({"code": 1000, "msg": "处理成功", "data": data, "success": True})

    def refuse(self, code: str, **_words: object) -> Response:
        body = {"code": int(code), "msg": errors.WXPUSHER[code].message, "data": None, "success": False}
        return Response.of_json(body)


class Ntfy(Service):
    """A topic in the path or in the JSON body; 60 messages at once, then one in five seconds."""

    name = "ntfy"
    pattern = r"/|/ntfy(?:/(?P<key>[^/]*))?"
    pace = (60, 300.0, "42901")
    unknown = "40301"
    unreadable = "40024"

    def _take(self, request: Request, match: re.Match[str]) -> Response:
        """A request to the topic's own path carries the text as its body."""
        if not match["key"]:
            return super()._take(request, match)
        text = request.body.decode("utf-8", "replace")
        values = {"topic": match["key"], "message": text, "title": request.headers.get("title", "")}
        request.body = json.dumps(values).encode()
        return super()._take(request, match)

    def key(self, _request: Request, _parts: Mapping[str, str], values: Mapping[str, object]) -> str:
        return str(values.get("topic", ""))

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        return "41301" if len(str(values.get("message", "")).encode()) > 4096 else ""

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "title", "message")

    def success(self, values: Mapping[str, object]) -> Response:
        stored = {"id": self.world.word(12), "time": int(time.time()), "event": "message", **values}
        return Response.of_json(stored)

    def refuse(self, code: str, **_words: object) -> Response:
        row = errors.NTFY[code]
        body = {"code": int(code), "http": row.status, "error": row.message, "link": "https://ntfy.sh/docs/publish/"}
        return Response.of_json(body, row.status)


class Gotify(Service):
    """A self-hosted server; the application's token in a header or in the address."""

    name = "gotify"
    pattern = r"(?:/gotify)?/message"
    pace = (600, 60.0, "500")
    unknown = "401"
    unreadable = "400"

    def key(self, request: Request, _parts: Mapping[str, str], _values: Mapping[str, object]) -> str:
        """The application's token."""
        return request.headers.get("x-gotify-key", "") or request.query.get("token", "")

    def problem(self, values: Mapping[str, object], _request: Request) -> str:
        return "" if values.get("message") else "400"

    def text(self, values: Mapping[str, object]) -> str:
        return _words(values, "title", "message")

    def success(self, values: Mapping[str, object]) -> Response:
        return Response.of_json({"id": self.world.rng.randrange(10**6), "appid": 1, **values})

    def refuse(self, code: str, **_words: object) -> Response:
        row = errors.GOTIFY[code]
        names = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error"}
        body = {"error": names[row.status], "errorCode": row.status, "errorDescription": row.message}
        return Response.of_json(body, row.status)


SERVICES: tuple[type[Service], ...] = (Discord, Teams, Bark, PushPlus, ServerChan, WxPusher, Ntfy, Gotify)
"""All of them."""
