"""A webhook of a person's own program: a POST signed as in Standard Webhooks, https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django import forms
from django.utils.translation import gettext_lazy as _
from standardwebhooks import Webhook as Signer

from kernel import outbound
from kernel.clock import approximate_now
from kernel.errors import InvalidRequest
from notifications.drivers.base import (
    ChannelError,
    Driver,
    Fault,
    Receipt,
    SecretField,
    Trouble,
    no_answer,
    retry_after,
)
from notifications.drivers.parcel import Parcel

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a fresh signing secret in the form that receivers' libraries take."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(keys: Sequence[str], *, delivery_id: str, body: bytes) -> dict[str, str]:
    """Return the three headers. Every attempt has the same `webhook-id`, so that a receiver can drop repeats.

    During a rotation there are two `keys`, and either signature verifies.
    """
    now = approximate_now()
    signatures = [Signer(key).sign(delivery_id, now, body.decode()) for key in keys]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


class WebhookForm(forms.Form):
    """The address, the secrets, and a template of the body."""

    url = forms.CharField(
        label=_("address"), max_length=outbound.URL_CHARACTERS, help_text=_("Where your program listens: https://…")
    )
    secret = SecretField(
        label=_("signing secret"),
        required=False,
        max_length=255,
        help_text=_("whsec_ and Base64, the same as in your program; empty: one is made."),
    )
    old_secret = SecretField(
        label=_("old signing secret"),
        required=False,
        max_length=255,
        help_text=_("While you change the secret: the old one, which signs too."),
    )
    template = forms.CharField(
        label=_("body"),
        required=False,
        max_length=8000,
        widget=forms.Textarea,
        help_text=_(
            'JSON with placeholders, such as {"content": "{{title}} {{text}}"}. Placeholders: id title text level '
            "source colour url detail_url at count. Empty: a body with all of them."
        ),
    )

    def clean_url(self) -> str:
        """Refuse an address that this server does not call."""
        try:
            return outbound.check_url(self.cleaned_data["url"].strip())
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from None

    def clean_secret(self) -> str:
        """Make a secret if the field is empty."""
        return _checked_secret(self.cleaned_data["secret"]) or new_secret()

    def clean_old_secret(self) -> str:
        """Refuse a text that is not a secret."""
        return _checked_secret(self.cleaned_data["old_secret"])

    def clean_template(self) -> str:
        """Refuse unknown placeholders, and a body that is not JSON once they are filled."""
        template: str = self.cleaned_data["template"].strip()
        unknown = sorted(set(_PLACEHOLDER.findall(template)) - set(_values(_SAMPLE)))
        if unknown:
            raise forms.ValidationError(_("There is no placeholder %(name)s."), params={"name": unknown[0]})
        try:
            json.loads(_filled(template, _SAMPLE) if template else "{}")
        except (ValueError, RecursionError):
            raise forms.ValidationError(_("The body is not JSON once its placeholders are filled.")) from None
        return template


class Webhook(Driver):
    """The status of the answer decides: 2xx is success, 410 switches the channel off, everything else is retried."""

    name = "webhook"
    label = _("Webhook")
    form = WebhookForm
    longest, unit = 60_000, "bytes"
    counted_by = ("url",)
    limits = _("64 KiB of the answer are read, redirects are not followed")
    troubles = (Trouble(code="http 410", kind=Fault.AUTH, meaning=_("the receiver wants no more")),)

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """POST the filled body."""
        template = str(settings.get("template") or "")
        text, note = self.fit(parcel.text, parcel)
        values = {**_values(parcel), "text": text}
        body = (_fill(template, values) if template else json.dumps(values, ensure_ascii=False)).encode()
        keys = [str(settings[name]) for name in ("secret", "old_secret") if settings.get(name)]
        headers = signed_headers(keys, delivery_id=parcel.delivery_id, body=body)
        headers["Content-Type"] = "application/json; charset=utf-8"
        try:
            answer = outbound.post(str(settings["url"]), body=body, headers=headers)
        except outbound.OutboundError as error:
            raise no_answer(error) from None
        code = f"http {answer.status}"
        if answer.status == 410:
            raise self.refuse(code)
        if not 200 <= answer.status < 300:
            kind = Fault.QUOTA if answer.status == 429 else Fault.RETRY
            raise ChannelError(kind, code, retry_after_seconds=retry_after(answer))
        return Receipt(code=code, note=note)


_SAMPLE = Parcel(delivery_id="1", title='"', text="\\", at=datetime(2000, 1, 1, tzinfo=UTC))


def _values(parcel: Parcel) -> dict[str, str | int]:
    return {
        "id": parcel.delivery_id,
        "title": parcel.title,
        "text": parcel.text,
        "level": parcel.level,
        "source": parcel.source,
        "colour": parcel.colour,
        "url": parcel.url,
        "detail_url": parcel.detail_url,
        "at": parcel.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "count": parcel.count,
    }


def _fill(template: str, values: Mapping[str, str | int]) -> str:
    """Fill the placeholders; a value is escaped, so that it cannot end the JSON string around it."""
    return _PLACEHOLDER.sub(lambda found: json.dumps(str(values.get(found[1], "")), ensure_ascii=False)[1:-1], template)


def _filled(template: str, parcel: Parcel) -> str:
    return _fill(template, _values(parcel))


def _checked_secret(given: str) -> str:
    if not given:
        return ""
    try:
        key = base64.b64decode(given.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise forms.ValidationError(_("A signing secret is whsec_ and 24 to 64 bytes as Base64."))
    return given
