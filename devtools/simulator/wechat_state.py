"""The state of the official account: settings, people, tokens and counts (微信开放文档 · 公众号)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from devtools.simulator import errors, templates
from devtools.simulator.base import Answerer
from devtools.simulator.clock import Pace
from devtools.simulator.windows import DEFAULT, Credit, Rules
from devtools.simulator.wire import Request, Response
from devtools.simulator.world import Chat, World

TOKEN_SECONDS: Final = 7200
_HANDOVER_SECONDS: Final = 300

_DAILY: Final = {
    "token": (2000, 200),
    "menu_create": (1000, 100),
    "menu_get": (10_000, 1000),
    "menu_delete": (1000, 100),
    "kf": (500_000, 50_000),
    "template": (100_000, 100_000),
    "qrcode": (100_000, 10_000),
    "user_list": (500, 100),
    "user_info": (5_000_000, 500_000),
    "forced_token": (20, 20),
}
"""Calls a day, of an account and of a test account."""

_CLEARS_A_MONTH: Final = 10


class Refused(Exception):
    """The call is refused with a code of the table."""

    def __init__(self, code: str, **words: object) -> None:
        super().__init__(code)
        self.code = code
        self.words = words


@dataclass(slots=True, kw_only=True)
class Account:
    """Settings on the platform's pages for owners. `strict`: check fields (None: unless it is a test account)."""

    original_id: str = "gh_simulator0001"
    appid: str = "wx0123456789abcdef"
    secret: str = "simulator-secret-0123456789abcdef"
    token: str = "simulatortoken"
    aes_key: str = "c2ltdWxhdG9yIG9mIHdlY2hhdCBmb3IgbGV0c2VydmU"
    mode: str = "safe"
    kind: str = "service"
    callback_url: str = ""
    kf_rules: Rules = DEFAULT
    daily_limits: dict[str, int] = field(default_factory=dict)
    ip_allow: list[str] = field(default_factory=list)
    deliveries: int = 3
    timer_s: float = 5.0
    strict: bool | None = None
    with_unionid: bool = False

    @property
    def strict_fields(self) -> bool:
        """Whether template/send answers 47003."""
        return self.kind != "test" if self.strict is None else self.strict


@dataclass(slots=True, kw_only=True)
class Follower:
    """A person who knows the account. `refuses`: "" | "at_once" (43101) | "late" (accepted, then failed)."""

    chat: Chat
    credit: Credit
    unionid: str
    followed: bool = False
    followed_at: float = 0.0
    scene: str = ""
    spoke_at: float = 0.0
    typing_until: float = 0.0
    refuses: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """One code. `until` None: it does not expire."""

    ticket: str
    short: str
    scene: str
    until: float | None


@dataclass(slots=True)
class _Token:
    until: float


class State:
    """One account: its settings, followers, valid tokens and counts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = Account()
        self.people: dict[str, Follower] = {}
        self.templates = templates.seeded()
        self.codes: dict[str, QrCode] = {}
        self._tokens: dict[str, _Token] = {}
        self._latest = ""
        self._stable = ""
        self._forced_at = -1e9
        self._counts: dict[tuple[str, str], int] = {}
        self._clears: dict[str, int] = {}
        self._minute = Pace.of(world.clock, 10_000, 60)

    def refuse(self, code: str, **words: object) -> Response:
        message = errors.WECHAT[code].message.format(
            **{"ip": "127.0.0.1", "field": "thing1", "why": "invalid", **words}
        )
        return Response.of_json({"errcode": int(code), "errmsg": f"{message} rid: {self.world.rid()}"})

    def configure(self, options: Mapping[str, object]) -> None:
        """Change the settings. Raises ValueError."""
        known = {item.name for item in fields(Account)}
        if not set(options) <= known:
            raise ValueError(f"{', '.join(set(options) - known)} not known; there are {', '.join(sorted(known))}")
        values = dict(options)
        if values.get("mode", "safe") not in ("plain", "compat", "safe"):
            raise ValueError("mode: plain, compat, safe")
        if values.get("kind", "test") not in ("service", "subscription", "test"):
            raise ValueError("kind: service, subscription, test")
        rules = values.pop("kf_rules", None)
        if rules is not None:
            if not isinstance(rules, Mapping):
                raise ValueError("kf_rules: an object")
            self.account.kf_rules = Rules.of(rules)
        for name, value in values.items():
            setattr(self.account, name, value)
        self.world.publish("people", None)

    def shown(self) -> Mapping[str, object]:
        account = self.account
        shown = {item.name: getattr(account, item.name) for item in fields(Account) if item.name != "kf_rules"}
        rules = account.kf_rules
        by_kind = {kind: [allowance.number, allowance.seconds] for kind, allowance in rules.by_kind.items()}
        return {**shown, "kf_rules": {**by_kind, "merge": rules.merge}}

    def expire_token(self, token: str) -> None:
        if token in self._tokens:
            self._tokens[token].until = self.world.clock.now()
        if token == self._stable:
            self._stable = ""

    def guarded(self, answer: Callable[[Request], object], *, method: str, needs: tuple[str, ...] = ()) -> Answerer:
        """Wrap `answer(request)`: check method, token and kind of account, and turn Refused into an answer."""

        def wrapped(request: Request, _match: re.Match[str]) -> Response:
            try:
                self._check_method(request, method)
                self._check_token(request.query.get("access_token", ""))
                if needs and self.account.kind not in needs:
                    raise Refused("48001")
                answered = answer(request)
            except Refused as refused:
                return self.refuse(refused.code, **refused.words)
            return answered if isinstance(answered, Response) else Response.of_json(answered)

        return wrapped

    def count(self, what: str) -> None:
        """Count one call of the day. Raises Refused above the daily limit."""
        key = (what, self.world.clock.day())
        account = self.account
        limit = account.daily_limits.get(what, _DAILY[what][account.kind == "test"])
        if self._counts.get(key, 0) >= limit:
            raise Refused("45009")
        self._counts[key] = self._counts.get(key, 0) + 1

    def clear_counts(self) -> None:
        """Reset the day's counts (`clear_quota`). Raises Refused above the monthly limit."""
        month = self.world.clock.month()
        if self._clears.get(month, 0) >= _CLEARS_A_MONTH:
            raise Refused("48006")
        self._clears[month] = self._clears.get(month, 0) + 1
        self._counts.clear()

    @staticmethod
    def body_of(request: Request) -> dict[str, object]:
        """Return the JSON object of the call. Raises Refused."""
        if not request.body:
            raise Refused("44002")
        try:
            return request.json_object()
        except ValueError as exc:
            raise Refused("47001") from exc

    def follower(self, openid: object) -> Follower:
        """Return the person with this openid. Raises Refused if it is unknown."""
        if not isinstance(openid, str) or openid not in self.people:
            raise Refused("40003")
        return self.people[openid]

    # Tokens.

    @staticmethod
    def _check_method(request: Request, method: str) -> None:
        if request.method != method:
            raise Refused("43002" if method == "POST" else "43001")

    def _check_token(self, token: str) -> None:
        if not token:
            raise Refused("41001")
        if len(token) < 32:
            raise Refused("40014")
        known = self._tokens.get(token)
        if known is None:
            raise Refused("40001")
        if known.until <= self.world.clock.now():
            raise Refused("42001")

    def _check_owner(self, values: Mapping[str, object], peer: str) -> None:
        if values.get("grant_type") != "client_credential":
            raise Refused("40002")
        appid, secret = values.get("appid"), values.get("secret")
        if not appid:
            raise Refused("41002")
        if not secret:
            raise Refused("41004")
        if appid != self.account.appid:
            raise Refused("40013")
        if secret != self.account.secret:
            raise Refused("40125")
        if self.account.ip_allow and peer not in self.account.ip_allow:
            raise Refused("40164", ip=peer)

    def _new_token(self) -> str:
        token = self.world.word(136, more="-_")
        self._tokens[token] = _Token(self.world.clock.now() + TOKEN_SECONDS)
        return token

    def get_token(self, request: Request, _match: re.Match[str]) -> Response:
        """Answer with a new token; the previous one stays valid for five minutes, older ones end."""
        try:
            self._check_method(request, "GET")
            self._check_owner(request.query, request.peer)
            self.count("token")
        except Refused as refused:
            return self.refuse(refused.code, **refused.words)
        now = self.world.clock.now()
        if self._latest in self._tokens:
            before = self._tokens[self._latest]
            before.until = min(before.until, now + _HANDOVER_SECONDS)
        self._latest = self._new_token()
        return Response.of_json({"access_token": self._latest, "expires_in": TOKEN_SECONDS})

    def stable_token(self, request: Request, _match: re.Match[str]) -> Response:
        """Answer with the same token until five minutes before its end; a forced new one ends the old one at once."""
        try:
            self._check_method(request, "POST")
            values = self.body_of(request)
            self._check_owner(values, request.peer)
            if self._minute.take("stable_token"):
                raise Refused("45011")
            now = self.world.clock.now()
            if values.get("force_refresh") is True:
                if now - self._forced_at < 30:
                    raise Refused("45011")
                self.count("forced_token")
                self._forced_at = now
                self._tokens.pop(self._stable, None)
                self._stable = self._new_token()
        except Refused as refused:
            return self.refuse(refused.code, **refused.words)
        known = self._tokens.get(self._stable)
        if known is None or known.until - now < _HANDOVER_SECONDS:
            self._stable = self._new_token()
            known = self._tokens[self._stable]
        return Response.of_json({"access_token": self._stable, "expires_in": int(known.until - now)})
