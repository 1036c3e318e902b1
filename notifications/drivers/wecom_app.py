"""An app of a company's WeCom: https://developer.work.weixin.qq.com/document/path/90236.

The app is this server's (LETSERVER_WECOM_…) for people who were bound by `bind`, or one whose keys a person enters.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from notifications.drivers.base import ChannelError, Driver, Fault, Rate, Receipt, SecretField, Trouble
from notifications.drivers.parcel import Parcel
from notifications.wechat.tokens import Granted, SharedToken

_TOTAL_SECONDS = 10.0
_TOKEN_SECONDS = 4.0
_STALE = frozenset({40014, 42001})


class WeComAppForm(forms.Form):
    """The app's keys and the receivers."""

    corp_id = forms.CharField(
        label=_("CorpID"), max_length=64, help_text=_("work.weixin.qq.com: My company, at the bottom (ww…).")
    )
    agent_id = forms.IntegerField(label=_("AgentId"), min_value=1, help_text=_("App management, your app: its number."))
    secret = SecretField(label=_("Secret"), max_length=128, help_text=_("App management, your app: Secret, view."))
    to = forms.CharField(
        label=_("to"),
        max_length=500,
        help_text=_("User ids with commas (Contacts, the person: account); @all sends to all members."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _App:
    corp_id: str
    agent_id: int
    secret: str


class WeComApp(Driver):
    """Text, or Markdown, which people who read in WeChat see as it is written."""

    name = "wecom_app"
    label = _("WeCom app")
    form = WeComAppForm
    rates = (Rate(number=30, seconds=60), Rate(number=1000, seconds=3600))
    longest, unit = 2048, "bytes"
    counted_by = ("corp_id", "agent_id", "to")
    limits = _("per person; beyond that WeCom drops messages silently")
    troubles = (
        Trouble(code="-1", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="40001", kind=Fault.AUTH, meaning=_("the Secret is wrong")),
        Trouble(code="40008", kind=Fault.PERMANENT, meaning=_("the service does not know this kind of message")),
        Trouble(code="40013", kind=Fault.AUTH, meaning=_("the CorpID is wrong")),
        Trouble(code="40014", kind=Fault.RETRY, meaning=_("the access token was refused twice")),
        Trouble(code="40056", kind=Fault.AUTH, meaning=_("the AgentId is wrong")),
        Trouble(code="40058", kind=Fault.PERMANENT, meaning=_("the message is empty or too long")),
        Trouble(code="42001", kind=Fault.RETRY, meaning=_("the access token was refused twice")),
        Trouble(code="44004", kind=Fault.PERMANENT, meaning=_("the message is empty")),
        Trouble(code="45002", kind=Fault.PERMANENT, meaning=_("the message is too long")),
        Trouble(code="45009", kind=Fault.QUOTA, meaning=_("too many messages for now"), retry_after_seconds=65.0),
        Trouble(code="47001", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="60020", kind=Fault.AUTH, meaning=_("this server's address is not on the app's list")),
        Trouble(code="81013", kind=Fault.AUTH, meaning=_("none of these people may see the app")),
        Trouble(code="invaliduser", kind=Fault.AUTH, meaning=_("the person may not see the app or is gone")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send to `parcel.address`, a user id, by this server's app; without it by the settings' app."""
        if parcel.address:
            app = _App(
                corp_id=server.WECOM_CORP_ID, agent_id=int(server.WECOM_AGENT_ID or 0), secret=server.WECOM_SECRET
            )
            to = parcel.address
        else:
            app = _App(
                corp_id=str(settings["corp_id"]),
                agent_id=int(str(settings["agent_id"])),
                secret=str(settings["secret"]),
            )
            to = "|".join(name.strip() for name in str(settings["to"]).split(",") if name.strip())
        kind = "markdown" if parcel.format == "markdown" else "text"
        text, note = self.fit(parcel.lines(), parcel)
        payload = {"touser": to, "agentid": app.agent_id, "msgtype": kind, kind: {"content": text}}
        reply = self._post(app, payload)
        if reply.get("errcode") != 0:
            raise self.refuse(str(reply.get("errcode")))
        if parcel.address and reply.get("invaliduser"):
            raise self.refuse("invaliduser")
        return Receipt(provider_id=str(reply.get("msgid", "")), note=note)

    def _post(self, app: _App, payload: Mapping[str, object]) -> dict[str, object]:
        until = time.monotonic() + _TOTAL_SECONDS
        tokens = _tokens(self, app)
        token = tokens.current()
        reply = self._say(token, payload, until)
        if reply.get("errcode") in _STALE:
            reply = self._say(tokens.renew(token), payload, until)
        return reply

    def _say(self, token: str, payload: Mapping[str, object], until: float) -> dict[str, object]:
        url = f"{server.WECOM_API_BASE}/cgi-bin/message/send?access_token={token}"
        return self.call(url, payload, total_seconds=until - time.monotonic())

    def fetch_token(self, app: _App) -> Granted:
        """Request a token; WeCom returns the valid one again."""
        query = urlencode({"corpid": app.corp_id, "corpsecret": app.secret})
        reply = self.call(
            f"{server.WECOM_API_BASE}/cgi-bin/gettoken?{query}", None, method="GET", total_seconds=_TOKEN_SECONDS
        )
        if reply.get("errcode") != 0:
            raise self.refuse(str(reply.get("errcode")))
        token, seconds = reply.get("access_token"), reply.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise ChannelError(Fault.RETRY, "garbled")
        return Granted(token=token, expires_in_seconds=seconds)


@functools.lru_cache(maxsize=256)
def _tokens(driver: WeComApp, app: _App) -> SharedToken:
    # The secret is part of the name: a wrong secret must not find the token of the right one.
    secret = hashlib.sha256(app.secret.encode()).hexdigest()[:16]
    return SharedToken(f"wecom:{app.corp_id}:{app.agent_id}:{secret}", functools.partial(driver.fetch_token, app))
