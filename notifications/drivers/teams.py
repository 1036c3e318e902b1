"""Microsoft Teams, by a workflow that waits for a webhook (the connectors of Office 365 have ended)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, urlsplit

from django import forms
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from kernel.errors import InvalidRequest
from notifications.drivers.base import ChannelError, Fault, Rate, SecretField, Trouble
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise

_PATH = re.compile(
    r"(?P<flow>/powerautomate/automations/direct(?:/cu/(?P<routing>\d+))?)?"
    r"/workflows/(?P<workflow>[A-Za-z0-9_-]{8,128})/triggers/manual/paths/invoke/?$"
)


class TeamsForm(forms.Form):
    """The workflow."""

    webhook = SecretField(
        label=_("workflow address"),
        max_length=1000,
        help_text=_(
            "In Teams: the channel's menu, Workflows, “Post to a channel when a webhook request is received”, copy the "
            "address."
        ),
    )

    def clean_webhook(self) -> str:
        """Refuse an address without the parts of a workflow's address."""
        given: str = self.cleaned_data["webhook"].strip()
        try:
            checked = outbound.check_url(given)
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from None
        parts = urlsplit(checked)
        if _PATH.search(parts.path) is None or not parse_qs(parts.query).get("sig"):
            raise forms.ValidationError(_("This is not an address that Teams shows for a workflow."))
        return checked


class Teams(ThroughApprise):
    """An adaptive card, Markdown inside."""

    name = "teams"
    label = _("Microsoft Teams")
    form = TeamsForm
    rates = (Rate(number=4, seconds=1),)
    # A card may have 28 KB, and in JSON a line end or a quotation mark counts twice.
    longest, unit = 12_000, "bytes"
    counted_by = ("webhook",)
    service, plugin = "workflows", "NotifyWorkflows"
    chosen = True
    limits = _("28 KB of a card")
    troubles = (
        Trouble(code="http 400", kind=Fault.PERMANENT, meaning=_("the workflow cannot read the card")),
        Trouble(code="http 401", kind=Fault.AUTH, meaning=_("the address is unknown or was withdrawn")),
        Trouble(code="http 404", kind=Fault.AUTH, meaning=_("the workflow was removed")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the address up to the workflow: the region's server."""
        parts, found = _parts(settings)
        return f"{parts.scheme}://{parts.netloc}{parts.path[: found.start()]}"

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the parts of the address."""
        parts, found = _parts(settings)
        query = parse_qs(parts.query)
        return {
            "host": parts.hostname,
            "workflow": found["workflow"],
            "signature": query["sig"][0],
            "power_automate": bool(found["flow"]),
            "routing_id": found["routing"],
            "version": query.get("api-version", [None])[0],
            "include_image": False,
        }


def _parts(settings: Mapping[str, object]) -> tuple[SplitResult, re.Match[str]]:
    """Split the address into its parts. Raises ChannelError if it has none of a workflow."""
    parts = urlsplit(str(settings["webhook"]))
    found = _PATH.search(parts.path)
    if found is None:
        raise ChannelError(Fault.AUTH, "settings")
    return parts, found
