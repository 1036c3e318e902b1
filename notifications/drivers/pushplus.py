"""PushPlus, a message by its own official account: https://www.pushplus.plus/doc/."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import Fault, Rate, SecretField, Trouble, read_object
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise

_HOUR = 3600.0


class PushPlusForm(forms.Form):
    """The account and the group that get the messages."""

    token = SecretField(
        label=_("token"), max_length=64, help_text=_("www.pushplus.plus: sign in, one-to-one push, copy your token.")
    )
    topic = forms.CharField(
        label=_("group code"),
        required=False,
        max_length=64,
        help_text=_("The code of your group; empty: only you get the messages."),
    )


class PushPlus(ThroughApprise):
    """HTTP is always 200; the result is in the body."""

    name = "pushplus"
    label = _("PushPlus")
    form = PushPlusForm
    rates = (Rate(number=5, seconds=60),)
    longest, unit = 20_000, "characters"
    counted_by = ("token",)
    service, plugin = "pushplus", "NotifyPushplus"
    limits = _("200 messages a day without payment")
    troubles = (
        Trouble(code="302", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="401", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="403", kind=Fault.AUTH, meaning=_("this server's address is not on the account's list")),
        Trouble(code="500", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="600", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="805", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="888", kind=Fault.QUOTA, meaning=_("the account's points are used up"), retry_after_seconds=_HOUR),
        Trouble(
            code="900",
            kind=Fault.QUOTA,
            meaning=_("the account was limited: too many messages of the day"),
            retry_after_seconds=_HOUR,
        ),
        Trouble(code="903", kind=Fault.AUTH, meaning=_("the service does not know the token")),
        Trouble(code="905", kind=Fault.AUTH, meaning=_("the account's owner has not been verified")),
        Trouble(code="999", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the service's address."""
        return server.PUSHPLUS_BASE

    def title(self, parcel: Parcel) -> str:
        """Return at most 100 characters; without one the service shows the beginning of the text."""
        return parcel.head()[:100]

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the token and the group."""
        topic = str(settings.get("topic") or "")
        return {"token": str(settings["token"]), "targets": [topic] if topic else None}

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the message's number."""
        reply = read_object(self.accept(answer))
        if reply.get("code") != 200:
            raise self.refuse(str(reply.get("code")))
        return str(reply.get("data") or "")
