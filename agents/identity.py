"""Queries about agent tokens for `accounts.credentials` and the gateway's token cache."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from accounts.credentials import Principal
from accounts.tokens import TokenKind
from agents.models import Agent, AgentToken


def principal_of_digest(digest: str) -> Principal | None:
    """Return the principal of the agent whose live token has this digest, or None. One query.

    An agent that is disabled, or whose owner is frozen, has `agent_enabled` off. It is not None, because that would
    answer 401, on which an old agent exits.
    """
    rows = Agent.objects.present().filter(tokens__digest=digest, tokens__revoked_at=None)
    row = rows.values_list(
        "pk", "owner_id", "enabled", "in_queues", "acts_for_owner", "owner__is_active", "owner__is_staff"
    ).first()
    if row is None:
        return None
    agent_id, owner_id, enabled, in_queues, acts_for_owner, owner_is_active, owner_is_staff = row
    return Principal(
        kind=TokenKind.AGENT,
        owner_id=owner_id,
        digest=digest,
        agent_id=agent_id,
        agent_enabled=enabled and owner_is_active,
        acts_for_owner=acts_for_owner,
        in_queues=in_queues,
        limited=not owner_is_staff,
    )


def agent_tokens_changed_since(start: dt.datetime) -> Iterable[str]:
    """Return the digests of agent tokens minted or revoked since `start`."""
    return AgentToken.objects.filter(changed_at__gte=start).values_list("digest", flat=True)


def agents_changed_since(start: dt.datetime) -> Iterable[str]:
    """Return the ids of agents enabled, disabled, renamed or deleted since `start`."""
    return Agent.objects.filter(changed_at__gte=start).values_list("pk", flat=True)
