"""A Telegram bot: https://core.telegram.org/bots/api#sendmessage.

The bot is this server's (LETSERVER_TELEGRAM_BOT_TOKEN) for people who were bound by `/bind`, or one whose token a
person enters. apprise is not used, because it does not report how long Telegram asks us to wait.
"""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.conf import settings as server
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from notifications.drivers.base import (
    ChannelError,
    Driver,
    Fault,
    Rate,
    Receipt,
    SecretField,
    Trouble,
    read_object,
)
from notifications.drivers.parcel import Parcel


class TelegramForm(forms.Form):
    """The bot and its chat."""

    token = SecretField(
        label=_("bot token"),
        max_length=128,
        help_text=_("From @BotFather: /newbot, then copy the token (123456:ABC…)."),
        validators=[RegexValidator(r"^\d{3,20}:[A-Za-z0-9_-]{10,100}$")],
    )
    chat = forms.CharField(
        label=_("chat id"),
        max_length=64,
        help_text=_("Write to the bot first; your number from @userinfobot, a group's (-100…), or @channel."),
        validators=[RegexValidator(r"^(-?\d{1,20}|@[A-Za-z0-9_]{4,64})$")],
    )


class Telegram(Driver):
    """Text without markup: Telegram refuses invalid markup, and the output of programs is rarely valid."""

    name = "telegram"
    label = _("Telegram")
    form = TelegramForm
    rates = (Rate(number=1, seconds=1), Rate(number=20, seconds=60))
    longest, unit = 4096, "characters"
    counted_by = ("token", "chat")
    limits = _("by chat; 30 a second for all chats of a bot")
    troubles = (
        Trouble(code="400", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
        Trouble(code="chat not found", kind=Fault.AUTH, meaning=_("the bot does not know the chat: write to it first")),
        Trouble(code="401", kind=Fault.AUTH, meaning=_("the bot's token is wrong")),
        Trouble(code="403", kind=Fault.AUTH, meaning=_("the person has blocked the bot, or the group has removed it")),
        Trouble(code="404", kind=Fault.AUTH, meaning=_("the bot's token is wrong")),
        Trouble(code="429", kind=Fault.QUOTA, meaning=_("too many messages for now")),
    )

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send to `parcel.address`, a chat, by this server's bot; else by the settings' bot to its chat."""
        token = server.TELEGRAM_BOT_TOKEN if parcel.address else settings["token"]
        text, note = self.fit(parcel.lines(), parcel)
        payload = {
            "chat_id": parcel.address or settings["chat"],
            "text": text,
            "disable_web_page_preview": True,
        }
        answer = self.reach(f"{server.TELEGRAM_BASE}/bot{token}/sendMessage", payload)
        if answer.status >= 500:
            self.accept(answer)
        reply = read_object(answer)
        if reply.get("ok") is not True:
            raise self._refusal(reply)
        result = reply.get("result")
        return Receipt(provider_id=str(result.get("message_id", "")) if isinstance(result, dict) else "", note=note)

    def _refusal(self, reply: Mapping[str, object]) -> ChannelError:
        if "chat not found" in str(reply.get("description")):
            return self.refuse("chat not found")
        parameters = reply.get("parameters")
        seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
        wait = float(seconds) if isinstance(seconds, int) else None
        return self.refuse(str(reply.get("error_code")), retry_after_seconds=wait)
