"""`poster`: a QR code that invites others. Each person who joins gives both sides one more agent."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.commands.registry import Call, Command, Reply
from notifications.drivers.base import ChannelError
from notifications.wechat.client import official_account

_MONTH_SECONDS = 30 * 24 * 3600


def run_poster(call: Call) -> Reply:
    """Get a QR code for this person from WeChat, valid for thirty days; the platform allows few permanent ones."""
    account = official_account()
    if account is None:
        return Reply(text=_("This service has no official account."))
    try:
        ticket, address = account.make_qr(f"inv:{call.owner.pk}", seconds=_MONTH_SECONDS)
    except ChannelError:
        return Reply(text=_("WeChat did not return a QR code. Try again later."))
    text = _("Each person who follows with this code within 30 days brings both of you one more agent:")
    return Reply(text=f"{text}\n{account.qr_picture(ticket)}\n{address}")


COMMANDS = (
    Command(
        phrases=("poster", "海报"),
        usage=gettext_lazy("poster – invite others"),
        summary=gettext_lazy("Each person who follows with your code brings both of you one more agent."),
        run=run_poster,
        slow=True,
    ),
)
