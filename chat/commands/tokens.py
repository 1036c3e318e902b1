"""`token`: show or replace the person's own token. It stays the same until they replace it."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import TokenScope
from accounts.services.tokens import own_token, replace_own_token
from accounts.tokens import shown_prefix
from chat.commands.registry import Call, Command, Reply
from chat.commands.words import phrases

_TOKEN = ("token", "令牌")
_REMARK = "chat"


def run_token(call: Call) -> Reply:
    """Show the token with full scope."""
    token = own_token(user=call.owner, scope=TokenScope.FULL, actor=call.line.actor, remark=_REMARK)
    return _shown(_("Your token. It lets its holder do everything that you can:"), token)


def run_notify(call: Call) -> Reply:
    """Show the token for messages only."""
    token = own_token(user=call.owner, scope=TokenScope.MESSAGES, actor=call.line.actor, remark=_REMARK)
    return _shown(_("A token that can only send messages to you, for scripts and sites you trust less:"), token)


def run_reset(call: Call) -> Reply:
    """Replace the token with full scope."""
    token = replace_own_token(user=call.owner, scope=TokenScope.FULL, actor=call.line.actor, remark=_REMARK)
    return _shown(_("The old token no longer works. Your new token:"), token)


def warn_reset(call: Call) -> str:
    """Ask before the old token is revoked."""
    return _("Your token will stop working everywhere at once, and you get a new one.")


def _shown(sentence: str, token: str) -> Reply:
    hint = _("Try it:") + f"\n{settings.PUBLIC_URL}/message/info?token=%s&msg=hello"
    masked = shown_prefix(token) + "…"
    text = f"{sentence}\n%s\n\n{hint}"
    return Reply(text=text % (token, token), masked=text % (masked, masked))


COMMANDS = (
    Command(
        phrases=_TOKEN,
        usage=gettext_lazy("token – your token for the API"),
        summary=gettext_lazy("The same one each time, until you reset it."),
        run=run_token,
    ),
    Command(
        phrases=phrases(_TOKEN, ("notify", "通知")),
        usage=gettext_lazy("token notify – a token for messages only"),
        summary=gettext_lazy("It can send messages to you and nothing else."),
        run=run_notify,
    ),
    Command(
        phrases=phrases(_TOKEN, ("reset", "重置")),
        usage=gettext_lazy("token reset – a new token"),
        summary=gettext_lazy("The old one stops working at once. I ask you first."),
        run=run_reset,
        warning=warn_reset,
    ),
)
