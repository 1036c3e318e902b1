"""The limit of agents per owner: a setting, plus one for each person that the owner invited."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.plan import plan_of
from accounts.quotas import Usage
from agents.models import Agent
from kernel.errors import AgentLimit


def agent_usage(owner: User) -> Usage | None:
    """Return the owner's use of the limit; None: there is no limit, as for staff."""
    limit = plan_of(owner).agents
    if limit is None:
        return None
    return Usage(
        name=_("Agents"),
        used=Agent.objects.visible_to(owner).count(),
        limit=limit,
        bonus=owner.bonus_agents,
    )


def require_room_for_an_agent(owner: User) -> None:
    """Raise AgentLimit unless the owner may have one more agent.

    It locks the owner's row in the caller's transaction, so that concurrent calls count each other's agents.
    """
    usage = agent_usage(User.objects.select_for_update().get(pk=owner.pk))
    if usage is None or usage.used < usage.limit:
        return
    params: dict[str, object] = {"used": usage.used, "limit": usage.limit}
    if not settings.WECHAT_KIND:
        raise AgentLimit(params=params)
    raise AgentLimit(
        _(
            "You have %(used)s agents and may have %(limit)s. Delete one that you no longer need, or invite a person "
            "with your “poster”: that gives you one more."
        ),
        params=params,
    )
