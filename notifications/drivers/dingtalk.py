"""A robot in a DingTalk group: https://open.dingtalk.com/document/robots/custom-robot-access."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel.clock import approximate_now
from notifications.drivers.base import Driver, Fault, Rate, Receipt, SecretField, Trouble
from notifications.drivers.parcel import Parcel


def sign(timestamp: str, secret: str) -> str:
    """Return the signature, not yet escaped for a query. `timestamp` is in milliseconds."""
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class DingTalkForm(forms.Form):
    """The robot's token, and its secret if it has one."""

    token = SecretField(
        label=_("access_token"),
        max_length=255,
        help_text=_(
            "In the group: settings, bots, add a custom one, copy its webhook address; it or its access_token."
        ),
    )
    secret = SecretField(
        label=_("signing secret"),
        required=False,
        max_length=128,
        help_text=_("If “additional signature” is chosen there: what begins with SEC."),
    )

    def clean_token(self) -> str:
        """Take the whole address too."""
        given: str = self.cleaned_data["token"].strip()
        token = parse_qs(urlsplit(given).query).get("access_token", [""])[0] if "/" in given else given
        if not re.fullmatch(r"[A-Za-z0-9]{8,128}", token):
            raise forms.ValidationError(_("This is neither a token nor the address that DingTalk shows."))
        return token


class DingTalk(Driver):
    """Text or Markdown. HTTP is always 200; the result is in the body."""

    name = "dingtalk"
    label = _("DingTalk robot")
    form = DingTalkForm
    rates = (Rate(number=20, seconds=60),)
    # The whole body may have 20 KB, and in JSON a line end or a quotation mark counts twice.
    longest, unit = 9_500, "bytes"
    counted_by = ("token",)
    limits = _("a body of 20 KB; a robot that sends too fast is blocked for 10 minutes")
    troubles = (
        Trouble(code="-1", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="40035", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(
            code="130101",
            kind=Fault.QUOTA,
            meaning=_("too many messages, blocked for 10 minutes"),
            retry_after_seconds=600.0,
        ),
        Trouble(
            code="410100",
            kind=Fault.QUOTA,
            meaning=_("too many messages, blocked for 10 minutes"),
            retry_after_seconds=600.0,
        ),
        Trouble(code="300001", kind=Fault.AUTH, meaning=_("the robot's address is not valid")),
        Trouble(
            code="310000",
            kind=Fault.AUTH,
            meaning=_("the robot refuses it: the secret, a keyword that is missing, or this server's address"),
        ),
        Trouble(code="400013", kind=Fault.AUTH, meaning=_("the group was dissolved")),
        Trouble(code="400101", kind=Fault.AUTH, meaning=_("the robot's address is not valid")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Post one message. DingTalk wants a mention in the text too."""
        mobiles = [name for name in parcel.mentions if re.fullmatch(r"\+?[\d-]{8,20}", name)]
        users = [name for name in parcel.mentions if name not in mobiles and name != "@all"]
        calls = " ".join(f"@{name}" for name in (*mobiles, *users))
        text, note = self.fit("\n".join(filter(None, [parcel.lines(), calls])), parcel)
        payload: dict[str, object] = {
            "at": {"atMobiles": mobiles, "atUserIds": users, "isAtAll": "@all" in parcel.mentions}
        }
        if parcel.format == "markdown":
            payload |= {"msgtype": "markdown", "markdown": {"title": parcel.head() or "LetServer", "text": text}}
        else:
            payload |= {"msgtype": "text", "text": {"content": text}}
        reply = self.call(f"{server.DINGTALK_BASE}/robot/send?{_query(settings)}", payload)
        if reply.get("errcode") != 0:
            raise self.refuse(str(reply.get("errcode")))
        return Receipt(note=note)


def _query(settings: Mapping[str, object]) -> str:
    query = {"access_token": str(settings["token"])}
    if settings.get("secret"):
        query["timestamp"] = str(int(approximate_now().timestamp() * 1000))
        query["sign"] = sign(query["timestamp"], str(settings["secret"]))
    return urlencode(query)
