"""A robot in a Feishu group: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel.clock import approximate_now
from notifications.drivers.base import Driver, Fault, Rate, Receipt, SecretField, Trouble
from notifications.drivers.parcel import Parcel


def sign(timestamp: str, secret: str) -> str:
    """Return the signature: an empty text, signed with time and secret as the key."""
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


class FeishuForm(forms.Form):
    """The robot's key, and its secret if it has one."""

    key = SecretField(
        label=_("key"),
        max_length=255,
        help_text=_("In the group: settings, bots, add a custom bot, copy its webhook address; it or its last part."),
    )
    secret = SecretField(
        label=_("signing secret"),
        required=False,
        max_length=128,
        help_text=_("If “signature verification” is switched on there: the text that it shows."),
    )

    def clean_key(self) -> str:
        """Take the whole address too."""
        key: str = self.cleaned_data["key"].strip().rstrip("/").rpartition("/")[2]
        if not re.fullmatch(r"[A-Za-z0-9-]{8,64}", key):
            raise forms.ValidationError(_("This is neither a key nor the address that Feishu shows."))
        return key


class Feishu(Driver):
    """Text. HTTP is always 200; the result is in the body."""

    name = "feishu"
    label = _("Feishu robot")
    form = FeishuForm
    rates = (Rate(number=5, seconds=1), Rate(number=100, seconds=60))
    # The whole body may have 20 KB, and in JSON a line end or a quotation mark counts twice.
    longest, unit = 9_500, "bytes"
    counted_by = ("key",)
    limits = _("20 KB of a body")
    troubles = (
        Trouble(code="9499", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="11232", kind=Fault.QUOTA, meaning=_("too many messages for now"), retry_after_seconds=60.0),
        Trouble(code="19001", kind=Fault.AUTH, meaning=_("the robot's address is not valid")),
        Trouble(code="19021", kind=Fault.AUTH, meaning=_("the signing secret is wrong, or this server's clock")),
        Trouble(code="19022", kind=Fault.AUTH, meaning=_("this server's address is not on the robot's list")),
        Trouble(code="19024", kind=Fault.PERMANENT, meaning=_("the message has none of the robot's keywords")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Post one message."""
        text, note = self.fit(parcel.lines(), parcel)
        calls = "".join(f'<at user_id="{"all" if name == "@all" else name}"></at>' for name in parcel.mentions)
        payload: dict[str, object] = {"msg_type": "text", "content": {"text": f"{text} {calls}".strip()}}
        if settings.get("secret"):
            payload["timestamp"] = str(int(approximate_now().timestamp()))
            payload["sign"] = sign(str(payload["timestamp"]), str(settings["secret"]))
        reply = self.call(f"{server.FEISHU_BASE}/open-apis/bot/v2/hook/{settings['key']}", payload)
        if reply.get("code") != 0:
            raise self.refuse(str(reply.get("code")))
        return Receipt(note=note)
