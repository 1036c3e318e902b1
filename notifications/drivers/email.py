"""E-mail, by the server of LETSERVER_EMAIL_URL through Django."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from email.utils import parseaddr

from django import forms
from django.conf import settings as server
from django.core.mail import EmailMessage
from django.utils.translation import gettext_lazy as _

from kernel.text import cut
from notifications.drivers.base import ChannelError, Driver, Fault, Rate, Receipt, Trouble
from notifications.drivers.parcel import Parcel

_SUBJECT_CHARACTERS = 120


class EmailForm(forms.Form):
    """The mailbox."""

    to = forms.EmailField(
        label=_("address"),
        max_length=254,
        help_text=_("Your mailbox: you@example.com. A mail asks there first whether messages may come."),
    )


class Email(Driver):
    """Plain text. Every attempt of a delivery has the same Message-ID, so that a repeat is recognised."""

    name = "email"
    label = _("E-mail")
    form = EmailForm
    rates = (Rate(number=30, seconds=60),)
    longest, unit = 100_000, "bytes"
    counted_by = ("to",)
    confirmed_by = "to"
    limits = _("what your mail server takes")
    troubles = (
        Trouble(code="no server", kind=Fault.PERMANENT, meaning=_("this server has no mail server")),
        Trouble(code="login", kind=Fault.PERMANENT, meaning=_("the mail server refuses this server")),
        Trouble(code="smtp 4xx", kind=Fault.RETRY, meaning=_("the mail server takes it later")),
        Trouble(code="smtp 5xx", kind=Fault.PERMANENT, meaning=_("the mail server does not take it")),
        Trouble(code="smtp 550", kind=Fault.AUTH, meaning=_("there is no such mailbox")),
        Trouble(code="unconfirmed", kind=Fault.PERMANENT, meaning=_("the address has not been confirmed yet")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send a mail. Raises ChannelError."""
        if not server.EMAIL_URL:
            raise self.refuse("no server")
        title = " ".join((parcel.head() or parcel.words()).split()) or "LetServer"
        body, note = self.fit("\n\n".join(filter(None, [parcel.words(), parcel.answers(), parcel.url])), parcel)
        domain = parseaddr(server.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
        message_id = f"<{parcel.delivery_id}@{domain}>"
        mail = EmailMessage(
            subject=cut(title, _SUBJECT_CHARACTERS, "characters"),
            body=body,
            to=[str(settings["to"])],
            headers={"Message-ID": message_id, "Auto-Submitted": "auto-generated"},
        )
        try:
            mail.send()
        except smtplib.SMTPException as error:
            raise self._refusal(error) from None
        except OSError as error:
            kind = "timeout" if isinstance(error, TimeoutError) else "connect"
            raise ChannelError(Fault.RETRY, kind, unheard=True) from None
        return Receipt(provider_id=message_id, note=note)

    def _refusal(self, error: smtplib.SMTPException) -> ChannelError:
        if isinstance(error, smtplib.SMTPServerDisconnected):
            return ChannelError(Fault.RETRY, "connect", unheard=True)
        if isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPNotSupportedError):
            return self.refuse("login")
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            ((status, _words),) = error.recipients.values()
        elif isinstance(error, smtplib.SMTPResponseException):
            status = error.smtp_code
        else:
            return ChannelError(Fault.RETRY, "smtp")
        if status == 550 and isinstance(error, smtplib.SMTPRecipientsRefused):
            return self.refuse("smtp 550")
        return ChannelError(Fault.RETRY if 400 <= status < 500 else Fault.PERMANENT, f"smtp {status}")
