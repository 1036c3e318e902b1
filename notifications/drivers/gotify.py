"""Gotify, a push server that people run themselves: https://gotify.net/docs/pushmsg."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from django import forms
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import Fault, SecretField, Trouble, read_object
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ServerField, ThroughApprise

_PRIORITIES = {"info": 5, "warning": 7, "error": 9}


class GotifyForm(forms.Form):
    """The server and the application."""

    server = ServerField(label=_("server"), help_text=_("The address of your Gotify server."))
    token = SecretField(
        label=_("application token"),
        max_length=64,
        help_text=_("Gotify: Apps, create an application, copy its token (A…)."),
    )


class Gotify(ThroughApprise):
    """A title and a text, louder for warnings."""

    name = "gotify"
    label = _("Gotify")
    form = GotifyForm
    longest, unit = 30_000, "bytes"
    counted_by = ("server", "token")
    service, plugin = "gotify", "NotifyGotify"
    chosen = True
    troubles = (
        Trouble(code="http 400", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="http 401", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="http 403", kind=Fault.AUTH, meaning=_("this is the token of a client, not of an application")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the chosen server."""
        return str(settings["server"])

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the application and the priority."""
        return {
            "host": urlsplit(self.origin(settings)).hostname,
            "token": str(settings["token"]),
            "priority": _PRIORITIES.get(parcel.level, 5),
        }

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the message's number."""
        return str(read_object(self.accept(answer)).get("id", ""))
