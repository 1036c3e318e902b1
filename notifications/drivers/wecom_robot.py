"""A robot in a WeCom group: https://developer.work.weixin.qq.com/document/path/91770."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from notifications.drivers.base import Driver, Fault, Rate, Receipt, SecretField, Trouble
from notifications.drivers.parcel import Parcel


class WeComRobotForm(forms.Form):
    """The robot's key, and the people whom it mentions."""

    key = SecretField(
        label=_("key"),
        max_length=255,
        help_text=_("In the group: settings, message push (robots), add one, copy its webhook address; it or its key."),
    )
    mention = forms.CharField(
        label=_("always mention"),
        required=False,
        max_length=255,
        help_text=_("User ids or mobile numbers with commas; @all mentions all members."),
    )

    def clean_key(self) -> str:
        """Take the whole address too: that is what WeCom lets people copy."""
        given: str = self.cleaned_data["key"].strip()
        key = parse_qs(urlsplit(given).query).get("key", [""])[0] if "/" in given else given
        if not re.fullmatch(r"[A-Za-z0-9-]{8,64}", key):
            raise forms.ValidationError(_("This is neither a key nor the address that WeCom shows."))
        return key


class WeComRobot(Driver):
    """Text with mentions, or Markdown with mentions inside."""

    name = "wecom_robot"
    label = _("WeCom robot")
    form = WeComRobotForm
    rates = (Rate(number=20, seconds=60),)
    longest, unit = 2048, "bytes"
    counted_by = ("key",)
    limits = _("Markdown 4096 bytes")
    troubles = (
        Trouble(code="-1", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="40008", kind=Fault.PERMANENT, meaning=_("the service does not know this kind of message")),
        Trouble(code="40058", kind=Fault.PERMANENT, meaning=_("the message is empty or too long")),
        Trouble(
            code="45009",
            kind=Fault.QUOTA,
            meaning=_("more than 20 messages in a minute"),
            retry_after_seconds=65,
        ),
        Trouble(code="93000", kind=Fault.AUTH, meaning=_("the robot's address is not valid")),
        Trouble(code="93004", kind=Fault.AUTH, meaning=_("the robot was removed from the group")),
        Trouble(code="93008", kind=Fault.AUTH, meaning=_("the robot is not in the group")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Post one message; HTTP is always 200; the result is in the body."""
        mentions = [*parcel.mentions, *_names(settings.get("mention"))]
        if parcel.format == "markdown":
            calls = "".join(f"<@{name}>" for name in mentions if not _is_mobile(name))
            text, note = self.fit("\n".join(filter(None, [parcel.lines(), calls])), parcel, 4096)
            payload: dict[str, object] = {"msgtype": "markdown", "markdown": {"content": text}}
        else:
            text, note = self.fit(parcel.lines(), parcel)
            content: dict[str, object] = {"content": text}
            # WeCom accepts @all in the list of mobile numbers and in that of users.
            content["mentioned_list"] = [name for name in mentions if not _is_mobile(name)]
            content["mentioned_mobile_list"] = [name for name in mentions if _is_mobile(name)]
            payload = {"msgtype": "text", "text": content}
        reply = self.call(f"{server.WECOM_API_BASE}/cgi-bin/webhook/send?key={settings['key']}", payload)
        if reply.get("errcode") != 0:
            raise self.refuse(str(reply.get("errcode")))
        return Receipt(note=note)


def _names(given: object) -> list[str]:
    return [name.strip() for name in str(given or "").split(",") if name.strip()]


def _is_mobile(name: str) -> bool:
    return re.fullmatch(r"\+?\d{8,15}", name) is not None
