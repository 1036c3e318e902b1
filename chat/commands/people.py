"""Commands about the person: usage, language, login, and the chats that are bound to the account."""

from __future__ import annotations

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import quotas
from accounts.models import ChatIdentity
from accounts.quotas import Usage
from accounts.services.identities import ChatAddress, bind_identity, set_language, unbind_identity
from agents.models import Agent
from chat.commands.registry import Call, Command, Reply
from chat.commands.words import folded
from chat.services.codes import approve_login, new_bind_code, number_of_scene, take_bind_code
from jobs.life.listing import count_waiting
from kernel.clock import database_now
from notifications.channels.identity import ensure_identity_channel, shut_identity_channel
from notifications.models import Channel
from notifications.quota.ledger import platform_usages

_LANGUAGES = {"zh": "zh-hans", "中文": "zh-hans", "chinese": "zh-hans", "en": "en", "english": "en", "英文": "en"}
_LOGIN_PAGE = "/console/login/chat"


def run_me(call: Call) -> Reply:
    """Show the person's name, agents, quotas and limits."""
    agents = Agent.objects.visible_to(call.owner)
    rows = platform_usages(
        owner_id=call.owner.pk, channels=list(Channel.objects.filter(owner_id=call.owner.pk)), now=database_now()
    )
    lines = [
        call.owner.username,
        _("Agents: %(count)s, online %(online)s")
        % {"count": agents.count(), "online": agents.filter(online=True).count()},
        *map(_quota_line, quotas.usages(call.owner)),
        _("Jobs that wait: %(count)s") % {"count": count_waiting(viewer=call.owner)},
        _("API calls a minute: %(count)s") % {"count": settings.USER_CALLS_A_MINUTE or "∞"},
        *(f"{usage.name}: {usage.used}/{usage.limit}" for usage in rows),
    ]
    return Reply(text="\n".join(lines))


def _quota_line(usage: Usage) -> str:
    line = f"{usage.name}: {usage.used}/{usage.limit}"
    if not usage.bonus:
        return line
    return line + " · " + _("of these for people you invited: %(count)s") % {"count": usage.bonus}


def run_language(call: Call) -> Reply:
    """Set the language of answers."""
    language = _LANGUAGES.get(folded(call.words[0]), "")
    if not language:
        return Reply(text="“lang en” · “语言 中文”")
    set_language(user=call.owner, language=language)
    with translation.override(language):
        return Reply(text=_("I will answer in English."))


def run_login(call: Call) -> Reply:
    """Log a browser in."""
    if not call.words:
        page = settings.PUBLIC_URL + _LOGIN_PAGE
        return Reply(text=_("Open %(page)s in a browser and send me “login” with the six digits.") % {"page": page})
    if approve_login(code=call.words[0], owner=call.owner, place=call.line.place):
        return Reply(text=_("You are logged in there. If that was not your browser, change your password and tokens."))
    return Reply(text=_("That code is wrong or over."))


def warn_login(call: Call) -> str:
    """Ask the person to compare numbers after a scan, because an attacker may have sent them the QR code.

    Six digits need no question: the person has read them in a browser.
    """
    if not call.words or call.words[0].isdecimal():
        return ""
    number = number_of_scene(call.words[0])
    if number is None:
        return ""
    return _(
        "A browser wants to log in as you. It shows the number %(number)s. Say yes only if you see that number in "
        "your own browser."
    ) % {"number": number}


def run_bind(call: Call) -> Reply:
    """Bind this chat to the account that made the code; without a code make one for another chat."""
    if not call.words:
        code = new_bind_code(owner=call.owner)
        text = _("Send this in the chat that you want to bind, within ten minutes:") + "\nbind %s"
        return Reply(text=text % code, masked=text % "…")
    identity = _identity(call)
    if identity is None:
        return Reply(text=_("You are logged in here already. Send the code in the other chat."))
    if Agent.objects.visible_to(call.owner).exists():
        return Reply(text=_("This chat already has an account with agents. Send “unbind” first."))
    address = ChatAddress(platform=identity.platform, account=identity.account, external_id=identity.external_id)
    return bind_address(address, call.words[0], tries_of=call.line.place)


def bind_address(address: ChatAddress, code: str, *, tries_of: str, display: str = "") -> Reply:
    """Bind an address to the user who made the code. `tries_of` names the chat whose wrong codes are counted."""
    owner = take_bind_code(code=code, place=tries_of)
    if owner is None:
        return Reply(text=_("That code is wrong or over."))
    ensure_identity_channel(bind_identity(address, owner=owner, display=display))
    return Reply(text=_("This chat is now bound to %(name)s. “help” lists the commands.") % {"name": owner.username})


def run_unbind(call: Call) -> Reply:
    """Unbind this chat."""
    identity = _identity(call)
    if identity is None:
        return Reply(text=_("There is nothing to unbind here."))
    shut_identity_channel(identity, reason="unbound")
    unbind_identity(identity, actor=call.line.actor)
    return Reply(text=_("This chat is no longer bound to %(name)s.") % {"name": call.owner.username})


def warn_unbind(call: Call) -> str:
    """Ask before a person locks themselves out."""
    if _identity(call) is None:
        return ""
    return _("This chat will no longer reach the account %(name)s, its agents and jobs.") % {
        "name": call.owner.username
    }


def _identity(call: Call) -> ChatIdentity | None:
    return ChatIdentity.objects.visible_to(call.owner).filter(pk=call.line.identity_id).first()


COMMANDS = (
    Command(
        phrases=("me", "quota", "我的", "额度"),
        usage=gettext_lazy("me – your agents, quotas and limits"),
        summary=gettext_lazy("Agents, jobs, and how many messages the platforms still allow."),
        run=run_me,
    ),
    Command(
        phrases=("login", "登录"),
        usage=gettext_lazy("login CODE – log a browser in"),
        summary=gettext_lazy("The login page shows the six digits."),
        run=run_login,
        words=(0, 1),
        warning=warn_login,
    ),
    Command(
        phrases=("bind", "绑定"),
        usage=gettext_lazy("bind [CODE] – use one account from several chats"),
        summary=gettext_lazy("Without a code you get one to send in the other chat."),
        run=run_bind,
        words=(0, 1),
    ),
    Command(
        phrases=("unbind", "解绑"),
        usage=gettext_lazy("unbind – unbind this chat from the account"),
        summary=gettext_lazy("I ask you first."),
        run=run_unbind,
        warning=warn_unbind,
    ),
    Command(
        phrases=("lang", "language", "语言"),
        usage=gettext_lazy("lang zh|en – the language of my answers"),
        summary=gettext_lazy("“lang en” or “语言 中文”."),
        run=run_language,
        words=(1, 1),
    ),
)
