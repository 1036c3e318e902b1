"""ServerChan (Server酱), a message by its own official account: https://sct.ftqq.com/."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from kernel.text import cut
from notifications.drivers.base import Fault, Rate, SecretField, Trouble, look_inside, read_object
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise

_TITLE_CHARACTERS = 32


class ServerChanForm(forms.Form):
    """The account that gets the messages."""

    key = SecretField(
        label=_("SendKey"), max_length=128, help_text=_("sct.ftqq.com: sign in, SendKey, copy what begins with SCT.")
    )

    def clean_key(self) -> str:
        """Refuse characters that a SendKey cannot have."""
        key: str = self.cleaned_data["key"].strip()
        if not (key.isascii() and key.isalnum()):
            raise forms.ValidationError(_("A SendKey has letters and digits only."))
        return key


class ServerChan(ThroughApprise):
    """apprise takes every 200 for a success, but the result is in the body."""

    name = "serverchan"
    label = _("ServerChan")
    form = ServerChanForm
    rates = (Rate(number=5, seconds=60),)
    longest, unit = 32_000, "bytes"
    counted_by = ("key",)
    service, plugin = "serverchan", "NotifyServerChan"
    limits = _("a title of 32 characters, 5 messages a day without payment")
    troubles = (
        Trouble(code="40001", kind=Fault.AUTH, meaning=_("the service does not know the SendKey")),
        Trouble(code="40003", kind=Fault.PERMANENT, meaning=_("the message has no title")),
        Trouble(
            code="40009", kind=Fault.QUOTA, meaning=_("the messages of the day are used up"), retry_after_seconds=3600.0
        ),
        Trouble(code="40010", kind=Fault.PERMANENT, meaning=_("the same message was sent within five minutes")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the service's address."""
        return server.SERVERCHAN_BASE

    def title(self, parcel: Parcel) -> str:
        """Return a title of at most 32 characters; the service requires one."""
        title = parcel.head() or " ".join(parcel.words().split()) or "LetServer"
        return cut(title, _TITLE_CHARACTERS, "characters")

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the account's key."""
        return {"token": str(settings["key"])}

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the push's id."""
        code = look_inside(answer).get("code", 0)
        if code != 0:
            raise self.refuse(str(code))
        data = read_object(self.accept(answer)).get("data")
        return str(data.get("pushid", "")) if isinstance(data, dict) else ""
