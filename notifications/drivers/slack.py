"""Slack: an incoming webhook (https://api.slack.com/messaging/webhooks), or a person who was bound to us by /bind."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from notifications.drivers.base import ChannelError, Fault, Rate, Receipt, SecretField, Trouble
from notifications.drivers.parcel import Parcel
from notifications.drivers.through_apprise import ThroughApprise

_ADDRESS = re.compile(r"(?:https://[^/]+/services/)?([A-Za-z0-9]+)/([A-Za-z0-9]+)/([A-Za-z0-9]+)/?")


class SlackForm(forms.Form):
    """The webhook."""

    webhook = SecretField(
        label=_("webhook address"),
        max_length=255,
        help_text=_(
            "api.slack.com/apps: your app, Incoming Webhooks, add one to a channel, copy https://hooks.slack.com/…"
        ),
    )

    def clean_webhook(self) -> str:
        """Keep the three parts that matter."""
        found = _ADDRESS.fullmatch(self.cleaned_data["webhook"].strip())
        if found is None:
            raise forms.ValidationError(_("This is not an address that Slack shows."))
        return "/".join(found.groups())


class Slack(ThroughApprise):
    """Text; Slack answers "ok" or a word."""

    name = "slack"
    label = _("Slack")
    form = SlackForm
    rates = (Rate(number=1, seconds=1),)
    longest, unit = 4000, "characters"
    counted_by = ("webhook",)
    service, plugin = "slack", "NotifySlack"
    troubles = (
        Trouble(code="invalid_payload", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="no_text", kind=Fault.PERMANENT, meaning=_("the message is empty")),
        Trouble(code="msg_too_long", kind=Fault.PERMANENT, meaning=_("the message is too long")),
        Trouble(code="invalid_token", kind=Fault.AUTH, meaning=_("the address is unknown or was withdrawn")),
        Trouble(code="no_service", kind=Fault.AUTH, meaning=_("the webhook was switched off or removed")),
        Trouble(code="no_active_hooks", kind=Fault.AUTH, meaning=_("the webhook was switched off or removed")),
        Trouble(code="channel_not_found", kind=Fault.AUTH, meaning=_("the channel or person is gone")),
        Trouble(code="channel_is_archived", kind=Fault.AUTH, meaning=_("the channel was archived")),
        Trouble(code="action_prohibited", kind=Fault.AUTH, meaning=_("an admin of the workspace forbids it")),
        Trouble(code="user_not_found", kind=Fault.AUTH, meaning=_("the channel or person is gone")),
        Trouble(code="not_authed", kind=Fault.PERMANENT, meaning=_("this server has no token of a Slack app")),
        Trouble(code="invalid_auth", kind=Fault.PERMANENT, meaning=_("this server's token of the Slack app is wrong")),
        Trouble(code="rollup_error", kind=Fault.RETRY, meaning=_("the service is busy")),
        Trouble(code="ratelimited", kind=Fault.QUOTA, meaning=_("too many messages for now")),
        Trouble(code="rate_limited", kind=Fault.QUOTA, meaning=_("too many messages for now")),
    )

    def origin(self, settings: Mapping[str, object]) -> str:
        """Return Slack's address."""
        return server.SLACK_BASE

    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the three parts of the address."""
        first, second, third = str(settings["webhook"]).split("/")
        return {"token_a": first, "token_b": second, "token_c": third, "include_image": False, "include_footer": False}

    def read_answer(self, answer: outbound.Answer) -> str:
        """Accept `ok`; any other word is a code of the table."""
        word = answer.body.decode(errors="replace").strip()
        if answer.status == 200 and word == "ok":
            return ""
        if any(row.code == word for row in self.troubles) and answer.status != 429:
            raise self.refuse(word)
        self.accept(answer)
        raise ChannelError(Fault.RETRY, "garbled", unheard=True)

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send to a webhook through apprise, or to a bound person by the app's bot without apprise."""
        return self._to_person(parcel) if parcel.address else super().send(parcel, settings)

    def _to_person(self, parcel: Parcel) -> Receipt:
        if not server.SLACK_BOT_TOKEN:
            raise self.refuse("not_authed")
        text, note = self.fit(parcel.lines(), parcel)
        reply = self.call(
            f"{server.SLACK_API_BASE}/api/chat.postMessage",
            {"channel": parcel.address, "text": text, "mrkdwn": parcel.format == "markdown"},
            headers={"Authorization": f"Bearer {server.SLACK_BOT_TOKEN}"},
        )
        if reply.get("ok") is not True:
            raise self.refuse(str(reply.get("error")))
        return Receipt(provider_id=str(reply.get("ts", "")), note=note)
