"""Add, change and delete agents; give them tokens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import tokens
from accounts.models import User
from accounts.services.audit import record_audit
from agents.hooks import run_on_removed
from agents.models import Agent, AgentName, AgentTag, AgentToken
from agents.names import checked_key, checked_tag
from agents.services.quota import require_room_for_an_agent
from kernel.bells import ring
from kernel.clock import database_now
from kernel.errors import AgentOnline, InvalidRequest, NameTaken, NotFound
from kernel.transactions import named_transaction

TAGS_LIMIT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChange:
    """The changes that an owner orders; None leaves a value unchanged."""

    name: str | None = None
    alias: str | None = None
    remark: str | None = None
    enabled: bool | None = None
    acts_for_owner: bool | None = None
    tags: Sequence[str] | None = None


def create_agent(
    *,
    owner: User,
    name: str,
    alias: str = "",
    remark: str = "",
    acts_for_owner: bool = False,
    tags: Sequence[str] = (),
    actor: str,
) -> tuple[Agent, str]:
    """Make an agent and its token; return both. The token cannot be read again.

    Raises InvalidRequest for an invalid name or tag, NameTaken if another agent of the owner has the name or alias,
    AgentLimit if the owner has reached the limit.
    """
    now_keys = _keys(name, alias)
    with named_transaction("agent.create"):
        require_room_for_an_agent(owner)
        now = database_now()
        agent = Agent(
            owner=owner,
            name=name,
            alias=alias,
            remark=remark,
            acts_for_owner=acts_for_owner,
            created_at=now,
            updated_at=now,
            changed_at=now,
        )
        agent.save(force_insert=True)
        _claim_names(agent, now_keys)
        if tags:
            _set_tags(agent, tags)
        token = _mint(agent, now)
        record_audit(actor=actor, action="agent.create", subject=f"agent:{agent.pk}", now=now)
    return agent, token


def update_agent(*, agent: Agent, change: AgentChange, actor: str) -> Agent:
    """Change an agent and return the changed row. Disabling cancels its jobs. Raises as `create_agent` does."""
    with named_transaction("agent.update"):
        now = database_now()
        agent = _locked(agent)
        was_enabled = agent.enabled
        renamed = change.name is not None or change.alias is not None
        agent.name = agent.name if change.name is None else change.name
        agent.alias = agent.alias if change.alias is None else change.alias
        agent.remark = agent.remark if change.remark is None else change.remark
        agent.enabled = agent.enabled if change.enabled is None else change.enabled
        agent.acts_for_owner = agent.acts_for_owner if change.acts_for_owner is None else change.acts_for_owner
        agent.updated_at = agent.changed_at = now
        if renamed:
            keys = _keys(agent.name, agent.alias)
            AgentName.objects.filter(agent=agent).delete()
            _claim_names(agent, keys)
        agent.save(update_fields=["name", "alias", "remark", "enabled", "acts_for_owner", "updated_at", "changed_at"])
        if change.tags is not None:
            _set_tags(agent, change.tags)
        if was_enabled and not agent.enabled:
            run_on_removed(agent.pk, actor, now)
        record_audit(actor=actor, action="agent.update", subject=f"agent:{agent.pk}", now=now)
    return agent


def delete_agent(*, agent: Agent, actor: str, force: bool = False) -> None:
    """Delete an agent: its tokens are revoked, its jobs canceled, its names free again.

    Raises AgentOnline if it is online, unless `force`.
    """
    with named_transaction("agent.delete"):
        now = database_now()
        agent = _locked(agent)
        if agent.online and not force:
            raise AgentOnline
        agent.online = False
        agent.deleted_at = agent.updated_at = agent.changed_at = now
        agent.save(update_fields=["online", "deleted_at", "updated_at", "changed_at"])
        AgentName.objects.filter(agent=agent).delete()
        _revoke(agent, now)
        run_on_removed(agent.pk, actor, now)
        record_audit(actor=actor, action="agent.delete", subject=f"agent:{agent.pk}", now=now)


def reset_agent_token(*, agent: Agent, actor: str) -> str:
    """Give the agent a new token and return it. Every process refuses the old one within a second."""
    with named_transaction("agent.reset_token"):
        now = database_now()
        agent = _locked(agent)
        _revoke(agent, now)
        token = _mint(agent, now)
        record_audit(actor=actor, action="agent.reset_token", subject=f"agent:{agent.pk}", now=now)
    return token


def note_queue_on(agent: Agent, *, now: dt.datetime) -> None:
    """Mark, in the caller's transaction, that queues may hold jobs for this agent; its polls see it within a second.

    The row is written only the first time. Other transactions lock it before they wait for a queue, so writing it again
    could deadlock with them.
    """
    if not agent.in_queues:
        Agent.objects.filter(pk=agent.pk).update(in_queues=True, changed_at=now)
        agent.in_queues = True


def _set_tags(agent: Agent, tags: Sequence[str]) -> None:
    """Replace the agent's tags. A new tag rings the agent's bell, because jobs may wait for that tag."""
    keys = {checked_tag(tag) for tag in tags}
    if len(keys) > TAGS_LIMIT:
        raise InvalidRequest(_("An agent has at most %(limit)s tags."), params={"limit": TAGS_LIMIT})
    had = set(AgentTag.objects.filter(agent=agent).values_list("tag", flat=True))
    AgentTag.objects.filter(agent=agent, tag__in=had - keys).delete()
    AgentTag.objects.bulk_create([AgentTag(agent=agent, tag=tag) for tag in sorted(keys - had)])
    if keys - had:
        note_queue_on(agent, now=agent.changed_at)
        ring("agent", agent.pk)


def _locked(agent: Agent) -> Agent:
    locked = Agent.objects.present().select_for_update().filter(pk=agent.pk).first()
    if locked is None:
        raise NotFound
    return locked


def _keys(name: str, alias: str) -> dict[str, str]:
    """Return a map from key to the name as written. A name and an alias with the same key need only one entry."""
    keys = {checked_key(name): name}
    if alias:
        keys.setdefault(checked_key(alias), alias)
    return keys


def _claim_names(agent: Agent, keys: dict[str, str]) -> None:
    for key, written in keys.items():
        try:
            with transaction.atomic():
                AgentName(owner_id=agent.owner_id, agent=agent, key=key).save(force_insert=True)
        except IntegrityError as error:
            raise NameTaken(params={"name": written}) from error


def _mint(agent: Agent, now: dt.datetime) -> str:
    token = tokens.new_agent_token()
    row = AgentToken(
        agent=agent, digest=tokens.digest(token), prefix=tokens.shown_prefix(token), created_at=now, changed_at=now
    )
    row.save(force_insert=True)
    return token


def _revoke(agent: Agent, now: dt.datetime) -> None:
    AgentToken.objects.filter(agent=agent, revoked_at=None).update(revoked_at=now, changed_at=now)
