"""Client of the WeChat official account: messages, templates, the typing sign, QR codes, the menu.

wechatpy 1.8.18 fetches a token without a timeout from a fixed address, retries forever with a refused token, lets the
errors of its HTTP library through and takes a proxy's error page for an answer. Here every call ends within 10 s, a
refused token is renewed once (by one process for all) and the call repeated once, and every failure is a ChannelError
without the address of the call, which contains the token.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests
from django.conf import settings
from urllib3.exceptions import NewConnectionError
from wechatpy import WeChatClient
from wechatpy.exceptions import WeChatClientException

from notifications.drivers.base import ChannelError, Fault
from notifications.wechat.tokens import Granted, SharedToken

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
QR_LONGEST_SECONDS = 30 * 24 * 3600

_STALE = frozenset({"40001", "40014", "42001"})
"""Codes of a token that is not valid, or not any more."""
_NO_MENU = "46003"
_NOT_TYPING = frozenset({"45072", "45080", "45081"})


class _Client(WeChatClient):  # type: ignore[misc]  # the library has no types
    """wechatpy's client with our tokens, limits and errors.

    The library reads every attribute before `__init__` has run and treats only AttributeError as "not set yet".
    """

    def __init__(self, appid: str, secret: str, *, stable: bool, base: str) -> None:
        self.API_BASE_URL = f"{base}/cgi-bin/"
        super().__init__(appid, secret, timeout=(CONNECT_SECONDS, READ_SECONDS), auto_retry=False)
        self._http.trust_env = False
        self._stable = stable
        self._tokens = SharedToken(f"wechat:{appid}", self._fetch)
        self._until = threading.local()

    @property
    def access_token(self) -> str:
        """The token that all processes share."""
        return self._tokens.current()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit the total time of the calls inside."""
        self._until.at = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._until.at

    def _request(self, method: str, url_or_endpoint: str, **kwargs: Any) -> dict[str, Any]:
        token = self.access_token
        try:
            return self._once(method, url_or_endpoint, token, kwargs)
        except ChannelError as error:
            if error.code not in _STALE:
                raise
        return self._once(method, url_or_endpoint, self._tokens.renew(token), kwargs)

    def _once(self, method: str, url_or_endpoint: str, token: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        # None is not sent, but keeps the library from fetching a token.
        params = {**kwargs.get("params", {}), "access_token": token or None}
        call = {**kwargs, "params": params, "timeout": self._left(), "allow_redirects": False}
        try:
            result = super()._request(method, url_or_endpoint, **call)
        except WeChatClientException as error:
            if error.errcode is None:
                raise ChannelError(Fault.RETRY, f"http {error.response.status_code}") from None
            # The driver's table has the meaning of a code.
            raise ChannelError(Fault.PERMANENT, str(error.errcode)) from None
        except requests.RequestException as error:
            raise _unanswered(error) from None
        except (TypeError, ValueError):
            result = None  # the errcode is not a number
        if not isinstance(result, dict):
            raise ChannelError(Fault.RETRY, "garbled", unheard=True)
        return result

    def _fetch(self) -> Granted:
        """Request a token, without a token."""
        query = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        if self._stable:
            reply = self._once("post", "stable_token", "", {"data": {**query, "force_refresh": False}})
        else:
            reply = self._once("get", "token", "", {"params": query})
        token, seconds = reply.get("access_token"), reply.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int):
            raise ChannelError(Fault.RETRY, "garbled")
        return Granted(token=token, expires_in_seconds=seconds)

    def _left(self) -> tuple[float, float]:
        """Return the time-outs of the next call."""
        left = getattr(self._until, "at", time.monotonic() + TOTAL_SECONDS) - time.monotonic()
        if left <= 0:
            raise ChannelError(Fault.RETRY, "timeout")
        return min(CONNECT_SECONDS, left), min(READ_SECONDS, left)


class OfficialAccount:
    """The account of this server's settings. One per process; any thread may use it. Everything raises ChannelError."""

    def __init__(self) -> None:
        self.appid: str = settings.WECHAT_APPID
        self._client = _Client(
            self.appid, settings.WECHAT_SECRET, stable=settings.WECHAT_STABLE_TOKEN, base=settings.WECHAT_API_BASE
        )

    def send_text(self, openid: str, text: str) -> None:
        """Send a customer-service message: at most 2048 bytes, only for some time after the person has written."""
        self._post("message/custom/send", {"touser": openid, "msgtype": "text", "text": {"content": text}})

    def send_template(
        self, openid: str, template_id: str, fields: Mapping[str, Mapping[str, str]], *, url: str, message_id: str
    ) -> str:
        """Send a template message and return WeChat's id. The same `message_id` within 10 minutes is sent once."""
        payload = {"touser": openid, "template_id": template_id, "data": fields, "client_msg_id": message_id}
        reply = self._post("message/template/send", {**payload, **({"url": url} if url else {})})
        return str(reply.get("msgid", ""))

    def show_typing(self, openid: str) -> bool:
        """Show the typing sign for 15 s or until the next message; return False if WeChat does not show it."""
        try:
            self._post("message/custom/typing", {"touser": openid, "command": "Typing"})
        except ChannelError as error:
            if error.code in _NOT_TYPING:
                return False
            raise
        return True

    def make_qr(self, scene: str, *, seconds: int | None) -> tuple[str, str]:
        """Return (ticket, address that the code stands for) of a QR code for a scene of 1 to 64 characters.

        `seconds` up to 30 days; None makes a permanent code, of which an account has 100,000.
        """
        forever = seconds is None
        order: dict[str, object] = {
            "action_name": "QR_LIMIT_STR_SCENE" if forever else "QR_STR_SCENE",
            "action_info": {"scene": {"scene_str": scene}},
        }
        if seconds is not None:
            order["expire_seconds"] = min(seconds, QR_LONGEST_SECONDS)
        reply = self._post("qrcode/create", order)
        return str(reply.get("ticket", "")), str(reply.get("url", ""))

    @staticmethod
    def qr_picture(ticket: str) -> str:
        """Return where WeChat shows the picture of a QR code; drawing its address ourselves needs no call."""
        return f"{settings.WECHAT_MP_BASE}/cgi-bin/showqrcode?ticket={quote(ticket)}"

    def set_menu(self, buttons: Sequence[Mapping[str, object]]) -> None:
        """Replace the menu: 1 to 3 buttons, each with 0 to 5 below it."""
        self._post("menu/create", {"button": list(buttons)})

    def menu(self) -> list[Mapping[str, object]]:
        """Return the buttons of the menu; empty without a menu."""
        try:
            reply = self._get("menu/get", {})
        except ChannelError as error:
            if error.code == _NO_MENU:
                return []
            raise
        menu = reply.get("menu")
        buttons = menu.get("button") if isinstance(menu, dict) else None
        if not isinstance(buttons, list) or not all(isinstance(button, dict) for button in buttons):
            raise ChannelError(Fault.RETRY, "garbled")
        return list(buttons)

    def delete_menu(self) -> None:
        """Remove the menu."""
        self._get("menu/delete", {})

    def person(self, openid: str) -> dict[str, Any]:
        """Return WeChat's data about a follower, without name and picture since December 2021."""
        return self._get("user/info", {"openid": openid, "lang": "zh_CN"})

    def _get(self, endpoint: str, params: Mapping[str, str]) -> dict[str, Any]:
        with self._client.within(TOTAL_SECONDS):
            reply: dict[str, Any] = self._client.get(endpoint, params=dict(params))
            return reply

    def _post(self, endpoint: str, payload: Mapping[str, object]) -> dict[str, Any]:
        with self._client.within(TOTAL_SECONDS):
            reply: dict[str, Any] = self._client.post(endpoint, data=dict(payload))
            return reply


def official_account() -> OfficialAccount | None:
    """Return the account of the settings; None without one."""
    if not settings.WECHAT_KIND:
        return None
    return _account(settings.WECHAT_APPID, settings.WECHAT_API_BASE, settings.WECHAT_STABLE_TOKEN)


@functools.lru_cache(maxsize=4)
def _account(appid: str, base: str, stable: bool) -> OfficialAccount:
    """Make one client per settings, which change only in tests: wechatpy's clients are never released."""
    return OfficialAccount()


def _unanswered(error: requests.RequestException) -> ChannelError:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return ChannelError(Fault.RETRY, "timeout")
    if isinstance(error, requests.Timeout):
        return ChannelError(Fault.RETRY, "timeout", unheard=True)
    if isinstance(error, requests.exceptions.SSLError):
        return ChannelError(Fault.RETRY, "tls")
    return ChannelError(Fault.RETRY, "connect", unheard=not _never_connected(error))


def _never_connected(error: requests.RequestException) -> bool:
    """Tell whether the connection failed before anything was sent: urllib3 hides that in a wrapped error."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
