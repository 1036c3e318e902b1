"""A Discord webhook: https://discord.com/developers/docs/resources/webhook#execute-webhook."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from notifications.drivers.base import Fault, Rate, SecretField, Trouble
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise

_ADDRESS = re.compile(r"(?:https://[^/]+/api/(?:v\d+/)?webhooks/)?(\d{5,25})/([A-Za-z0-9_-]{20,100})/?")


class DiscordForm(forms.Form):
    """The webhook."""

    webhook = SecretField(
        label=_("webhook address"),
        max_length=255,
        help_text=_("In Discord: the channel's settings, integrations, webhooks, a new one, copy its URL."),
    )

    def clean_webhook(self) -> str:
        """Keep id and token."""
        found = _ADDRESS.fullmatch(self.cleaned_data["webhook"].strip())
        if found is None:
            raise forms.ValidationError(_("This is not an address that Discord shows."))
        return "/".join(found.groups())


class Discord(ThroughApprise):
    """Text in Discord's Markdown."""

    name = "discord"
    label = _("Discord")
    form = DiscordForm
    rates = (Rate(number=5, seconds=2), Rate(number=30, seconds=60))
    longest, unit = 2000, "characters"
    counted_by = ("webhook",)
    service, plugin = "discord", "NotifyDiscord"
    troubles = (
        Trouble(code="http 401", kind=Fault.AUTH, meaning=_("the address is unknown or was withdrawn")),
        Trouble(code="http 404", kind=Fault.AUTH, meaning=_("the webhook was switched off or removed")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return Discord's address."""
        return server.DISCORD_BASE

    def title(self, parcel: Parcel) -> str:
        """Return no title, because it would count as part of the text."""
        return ""

    def body(self, parcel: Parcel) -> str:
        """Return everything, the head first."""
        return parcel.lines()

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return id and token, without pictures from apprise's server."""
        webhook_id, token = str(settings["webhook"]).split("/")
        return {
            "webhook_id": webhook_id,
            "webhook_token": token,
            "avatar": False,
            "footer_logo": False,
            "fields": False,
        }
