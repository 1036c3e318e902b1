"""`status` and `agent …`: the person's agents."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.tokens import shown_prefix
from agents.models import REMARK_LENGTH, Agent
from agents.services.find import find_agent
from agents.services.manage import AgentChange, create_agent, delete_agent, reset_agent_token, update_agent
from chat.commands.registry import Call, Command, Reply
from chat.commands.words import phrases
from jobs.models import Job
from kernel.errors import AgentOnline, InvalidRequest

_AGENT = ("agent", "代理")
_LISTED = 40
_ONLINE, _OFFLINE, _DISABLED = "🟩", "🟥", "⬜"


def run_status(call: Call) -> Reply:
    """List the agents, online ones first."""
    rows = list(Agent.objects.visible_to(call.owner).order_by("-online", "name"))
    if not rows:
        return Reply(text=_("You have no agent yet. “agent add NAME” makes one."))
    lines = [_("Your agents:"), *(_line(agent) for agent in rows[:_LISTED])]
    more = len(rows) - _LISTED
    if more > 0:
        lines.append(ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more})
    return Reply(text="\n".join(lines))


def run_add(call: Call) -> Reply:
    """Make an agent and show its token."""
    name, alias = call.words[0], " ".join(call.words[1:])
    agent, token = create_agent(owner=call.owner, name=name, alias=alias, actor=call.line.actor)
    sentence = _("%(agent)s is added. Its token, which is shown only once:") % {"agent": agent.name}
    return _with_token(sentence, token)


def run_reset(call: Call) -> Reply:
    """Give an agent a new token."""
    agent = _the_agent(call)
    token = reset_agent_token(agent=agent, actor=call.line.actor)
    sentence = _("The old token of %(agent)s no longer works. Its new token, which is shown only once:")
    sentence %= {"agent": agent.name}
    return _with_token(sentence, token)


def warn_reset(call: Call) -> str:
    """Ask before the agent loses its token."""
    return _("%(agent)s stops until you give it its new token.") % {"agent": _the_agent(call).name}


def run_delete(call: Call) -> Reply:
    """Delete an agent that is offline."""
    agent = _the_agent(call)
    delete_agent(agent=agent, actor=call.line.actor)
    return Reply(text=_("%(agent)s is deleted.") % {"agent": agent.name})


def warn_delete(call: Call) -> str:
    """Ask before an agent is deleted and its jobs canceled; refuse if it is online."""
    agent = _the_agent(call)
    if agent.online:
        raise AgentOnline(
            _("%(agent)s is online. Stop it before you delete it here, or delete it in the console."),
            params={"agent": agent.name},
        )
    jobs = Job.objects.visible_to(call.owner)
    waiting = (jobs.waiting() | jobs.active()).filter(agent=agent).count()
    sentence = ngettext(
        "%(agent)s will be deleted and %(count)s of its jobs canceled.",
        "%(agent)s will be deleted and %(count)s of its jobs canceled.",
        waiting,
    )
    return sentence % {"agent": agent.name, "count": waiting}


def run_alias(call: Call) -> Reply:
    """Set an agent's alias; without a word remove it."""
    agent, alias = _the_agent(call), " ".join(call.words[1:])
    update_agent(agent=agent, change=AgentChange(alias=alias), actor=call.line.actor)
    if not alias:
        return Reply(text=_("%(agent)s has no alias now.") % {"agent": agent.name})
    return Reply(text=_("%(agent)s is also called %(alias)s now.") % {"agent": agent.name, "alias": alias})


def run_remark(call: Call) -> Reply:
    """Set an agent's remark; without text remove it."""
    agent = _the_agent(call)
    remark = " ".join(call.words[1:])
    if len(remark) > REMARK_LENGTH:
        raise InvalidRequest(_("A remark has at most %(limit)s characters."), params={"limit": REMARK_LENGTH})
    update_agent(agent=agent, change=AgentChange(remark=remark), actor=call.line.actor)
    return Reply(text=_("The remark is saved.") if remark else _("The remark is removed."))


def _the_agent(call: Call) -> Agent:
    return find_agent(viewer=call.owner, called=call.words[0])


def _with_token(sentence: str, token: str) -> Reply:
    text = f"{sentence}\n%s\n\n" + _("In skadi.yml on its machine:") + f"\ntoken: %s\nserver: {settings.PUBLIC_URL}"
    masked = shown_prefix(token) + "…"
    return Reply(text=text % (token, token), masked=text % (masked, masked))


def _line(agent: Agent) -> str:
    sign = _DISABLED if not agent.enabled else _ONLINE if agent.online else _OFFLINE
    return f"{sign} {agent.name} ({agent.alias})" if agent.alias else f"{sign} {agent.name}"


COMMANDS = (
    Command(
        phrases=("status", "状态", *_AGENT, *phrases(_AGENT, ("list", "列表"))),
        usage=gettext_lazy("status – your agents"),
        summary=gettext_lazy("Green is online, red is offline, white is disabled."),
        run=run_status,
    ),
    Command(
        phrases=phrases(_AGENT, ("add", "添加")),
        usage=gettext_lazy("agent add NAME [ALIAS] – a new agent"),
        summary=gettext_lazy("You get its token. The name is what you write before each job."),
        run=run_add,
        words=(1, 2),
    ),
    Command(
        phrases=phrases(_AGENT, ("del", "delete", "删除")),
        usage=gettext_lazy("agent del NAME – delete an agent"),
        summary=gettext_lazy("It must be offline. Its waiting jobs are canceled. I ask you first."),
        run=run_delete,
        words=(1, 1),
        warning=warn_delete,
    ),
    Command(
        phrases=phrases(_AGENT, ("reset", "重置")),
        usage=gettext_lazy("agent reset NAME – a new token for an agent"),
        summary=gettext_lazy("The old one stops working at once. I ask you first."),
        run=run_reset,
        words=(1, 1),
        warning=warn_reset,
    ),
    Command(
        phrases=phrases(_AGENT, ("alias", "别名")),
        usage=gettext_lazy("agent alias NAME ALIAS – a second name"),
        summary=gettext_lazy("Without ALIAS the alias is removed."),
        run=run_alias,
        words=(1, 2),
    ),
    Command(
        phrases=phrases(_AGENT, ("remark", "备注")),
        usage=gettext_lazy("agent remark NAME TEXT – a note for you"),
        summary=gettext_lazy("Without TEXT the note is removed."),
        run=run_remark,
        words=(1, None),
    ),
)
