"""ntfy, pushes by topic: https://docs.ntfy.sh/publish/. The server may be the person's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from django import forms
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import Fault, Rate, SecretField, Trouble, look_inside, read_object, retry_after
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ServerField, ThroughApprise

_PRIORITIES = {"info": "default", "warning": "high", "error": "max"}
_HOUR = 3600.0


class NtfyForm(forms.Form):
    """The topic, and where it is."""

    server = ServerField(
        label=_("server"), initial="https://ntfy.sh", help_text=_("https://ntfy.sh, or the address of your own server.")
    )
    topic = forms.CharField(
        label=_("topic"),
        max_length=64,
        help_text=_(
            "The name to which you subscribe in the ntfy app. Anyone who knows it can read along, so make it long."
        ),
    )
    token = SecretField(
        label=_("access token"),
        required=False,
        max_length=64,
        help_text=_("For a protected topic: ntfy, account, access tokens (tk_…); else empty."),
    )

    def clean_topic(self) -> str:
        """Refuse characters that a topic cannot have."""
        topic: str = self.cleaned_data["topic"].strip()
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic):
            raise forms.ValidationError(_("A topic has letters, digits, - and _ only."))
        return topic


class Ntfy(ThroughApprise):
    """A title and a text, louder for warnings."""

    name = "ntfy"
    label = _("ntfy")
    form = NtfyForm
    rates = (Rate(number=60, seconds=300),)
    longest, unit = 3500, "bytes"
    counted_by = ("server", "token")
    service, plugin = "ntfy", "NotifyNtfy"
    attributes = {"ntfy_json_upstream_size_limit": 1_000_000}  # else it would send a file
    chosen = True
    limits = _("4096 bytes of text; 250 messages a day without an account")
    troubles = (
        Trouble(code="40009", kind=Fault.AUTH, meaning=_("the server does not take the topic's name")),
        Trouble(code="40024", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="40101", kind=Fault.AUTH, meaning=_("the service refuses the key")),
        Trouble(code="40301", kind=Fault.AUTH, meaning=_("the topic is closed to this token")),
        Trouble(code="41301", kind=Fault.PERMANENT, meaning=_("the message is too long")),
        Trouble(code="42901", kind=Fault.QUOTA, meaning=_("too many messages for now"), retry_after_seconds=60.0),
        Trouble(
            code="42908", kind=Fault.QUOTA, meaning=_("the messages of the day are used up"), retry_after_seconds=_HOUR
        ),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return the chosen server."""
        return str(settings["server"])

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the topic, the priority, and the link that a tap opens."""
        token = str(settings.get("token") or "")
        return {
            "host": urlsplit(self.origin(settings)).hostname,
            "secure": True,
            "mode": "private",
            "targets": [str(settings["topic"])],
            "priority": _PRIORITIES.get(parcel.level, "default"),
            "click": parcel.url or parcel.detail_url or None,
            "include_image": False,
            **({"auth": "token", "token": token} if token else {}),
        }

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the message's id; a refusal's code has five digits, of which the first three are the status."""
        code = str(look_inside(answer).get("code"))
        if any(row.code == code for row in self.troubles):
            raise self.refuse(code, retry_after_seconds=retry_after(answer))
        return str(read_object(self.accept(answer)).get("id", ""))
