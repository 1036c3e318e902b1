"""WxPusher, a message by its own official account: https://wxpusher.zjiecode.com/docs/."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import Fault, Rate, SecretField, Trouble, read_object
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise


class WxPusherForm(forms.Form):
    """The application and the receivers."""

    token = SecretField(
        label=_("appToken"),
        max_length=64,
        help_text=_("wxpusher.zjiecode.com/admin: your application, appToken (AT_…)."),
    )
    to = forms.CharField(
        label=_("to"),
        max_length=500,
        help_text=_("UIDs (UID_…) or topic ids (digits) with commas: the application's list of followers or topics."),
    )

    def clean_to(self) -> str:
        """Refuse words that are neither a UID nor a topic id."""
        names = [name.strip() for name in self.cleaned_data["to"].split(",") if name.strip()]
        if not names or not all(re.fullmatch(r"UID_[A-Za-z0-9]{8,64}|\d{1,12}", name) for name in names):
            raise forms.ValidationError(_("A UID begins with UID_, a topic is a number."))
        return ",".join(names)


class WxPusher(ThroughApprise):
    """HTTP is always 200; the result is in the body."""

    name = "wxpusher"
    label = _("WxPusher")
    form = WxPusherForm
    rates = (Rate(number=2, seconds=1),)
    longest, unit = 40_000, "characters"
    counted_by = ("token",)
    service, plugin = "wxpusher", "NotifyWxPusher"
    limits = _("a summary of 20 characters, 500 messages a day and person")
    troubles = (
        Trouble(code="1001", kind=Fault.PERMANENT, meaning=_("the service refuses the message or whom it is for")),
        Trouble(code="1002", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="1003", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="1004", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="1005", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="1006", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="1007", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="1008", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="1009", kind=Fault.RETRY, meaning=_("the service is busy")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the service's address."""
        return server.WXPUSHER_BASE

    def title(self, parcel: Parcel) -> str:
        """Return the summary, at most 20 characters; without one the service shows the text's beginning."""
        return parcel.head()[:20]

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the application's token and the receivers."""
        return {"token": str(settings["token"]), "targets": str(settings["to"]).split(",")}

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the number of the first message."""
        reply = read_object(self.accept(answer))
        if reply.get("code") != 1000:
            raise self.refuse(str(reply.get("code")))
        match reply.get("data"):
            case [{"messageId": number}, *_rest]:
                return str(number)
        return ""
