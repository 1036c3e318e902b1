"""Bark, pushes to an iPhone: https://bark.day.app/#/tutorial. The server may be the person's own."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from django import forms
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import Fault, SecretField, Trouble, look_inside, read_object
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ServerField, ThroughApprise

_CLICK_CHARACTERS = 500
_LEVELS = {"warning": "timeSensitive", "error": "timeSensitive"}


class BarkForm(forms.Form):
    """The server and the device."""

    server = ServerField(
        label=_("server"),
        initial="https://api.day.app",
        help_text=_("https://api.day.app, or the address of your own Bark server."),
    )
    key = SecretField(
        label=_("device key"),
        max_length=64,
        help_text=_("The Bark app shows https://api.day.app/KEY/…: the part after the host."),
    )


class Bark(ThroughApprise):
    """A title and a text; warnings break through the phone's quiet."""

    name = "bark"
    label = _("Bark")
    form = BarkForm
    # Apple takes 4 KB with everything, and in JSON a line end or a quotation mark counts twice.
    longest, unit = 1700, "bytes"
    counted_by = ("server", "key")
    service, plugin = "bark", "NotifyBark"
    chosen = True
    limits = _("4 KB with everything, by Apple")
    troubles = (
        Trouble(code="no device", kind=Fault.AUTH, meaning=_("the server does not know the device")),
        Trouble(code="400", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="413", kind=Fault.PERMANENT, meaning=_("the message is too long")),
        Trouble(code="429", kind=Fault.QUOTA, meaning=_("too many messages for now")),
        Trouble(code="500", kind=Fault.RETRY, meaning=_("Apple did not take it")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the chosen server."""
        return str(settings["server"])

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the device, and the link that a tap opens."""
        return {
            "host": urlsplit(self.origin(settings)).hostname,
            "targets": [str(settings["key"])],
            "include_image": False,
            "level": _LEVELS.get(parcel.level),
            "click": next((url for url in (parcel.url, parcel.detail_url) if 0 < len(url) < _CLICK_CHARACTERS), None),
        }

    def read_answer(self, answer: outbound.Answer) -> str:
        """Check the code in the body, which says more than the status."""
        reply = look_inside(answer)
        if "device token" in str(reply.get("message")):
            raise self.refuse("no device")
        if reply.get("code", 200) != 200:
            raise self.refuse(str(reply["code"]))
        read_object(self.accept(answer))
        return ""
