"""The REST calls of users and of the upstream program about agents."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, JobsUser, UpstreamSystem, caller
from accounts.credentials import SYSTEM_ACTOR, Principal
from accounts.services.users import read_active_user, read_user
from agents.models import NAME_LENGTH, REMARK_LENGTH, Agent
from agents.names import SHORTEST_NAME
from agents.services.manage import TAGS_LIMIT, AgentChange, create_agent, delete_agent, reset_agent_token, update_agent
from kernel.clock import rfc3339
from kernel.errors import AgentLimit, AgentOnline, InvalidRequest, NameTaken, NotFound
from kernel.http.bodies import checked_body
from kernel.http.openapi import describe, query
from kernel.http.rest import Flag, Operation, Text, query_value
from kernel.ids import is_id
from kernel.strictjson import JsonObject


def agent_json(agent: Agent) -> JsonObject:
    """Render an agent for its owner."""
    return {
        "id": agent.pk,
        "user_id": agent.owner_id,
        "name": agent.name,
        "alias": agent.alias,
        "remark": agent.remark,
        "enabled": agent.enabled,
        "acts_for_owner": agent.acts_for_owner,
        "available": agent.online,
        "online": agent.online,
        "ip": agent.ip,
        "version": agent.version,
        "tags": sorted(tag.tag for tag in agent.tags.all()),
        "last_seen_at": rfc3339(agent.last_seen_at),
        "activated_at": rfc3339(agent.activated_at),
        "created_at": rfc3339(agent.created_at),
        "updated_at": rfc3339(agent.updated_at),
    }


_ACTS = "Whether its token may send jobs to your other agents and use your state. Off for a new agent."


class NewAgentSerializer(serializers.Serializer[Any]):
    """A new agent."""

    name = Text(min_length=SHORTEST_NAME, max_length=NAME_LENGTH)
    alias = Text(max_length=NAME_LENGTH, required=False, allow_blank=True)
    remark = Text(max_length=REMARK_LENGTH, required=False, allow_blank=True)
    acts_for_owner = Flag(required=False, help_text=_ACTS)
    tags = serializers.ListField(child=Text(max_length=NAME_LENGTH), required=False, max_length=TAGS_LIMIT)


_NEW_AGENT_FIELDS = frozenset(NewAgentSerializer().fields)


class AgentChangeSerializer(serializers.Serializer[Any]):
    """The fields to change; missing fields stay."""

    name = Text(min_length=SHORTEST_NAME, max_length=NAME_LENGTH, required=False)
    alias = Text(max_length=NAME_LENGTH, required=False, allow_blank=True)
    remark = Text(max_length=REMARK_LENGTH, required=False, allow_blank=True)
    enabled = Flag(required=False)
    acts_for_owner = Flag(required=False, help_text=_ACTS)
    tags = serializers.ListField(
        child=Text(max_length=NAME_LENGTH), required=False, max_length=TAGS_LIMIT, help_text="Replaces all tags."
    )


class AgentSerializer(serializers.Serializer[Any]):
    """An agent, for the schema."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    name = serializers.CharField()
    alias = serializers.CharField()
    remark = serializers.CharField()
    enabled = serializers.BooleanField(help_text="Off: its calls are refused and it gets no jobs.")
    acts_for_owner = serializers.BooleanField(help_text=_ACTS)
    available = serializers.BooleanField(help_text="The original's word for `online`.")
    online = serializers.BooleanField()
    ip = serializers.CharField(allow_null=True, help_text="The address of its last call.")
    version = serializers.CharField(help_text="The version that it sends; empty for old agents.")
    tags = serializers.ListField(child=serializers.CharField(), help_text="Queues choose their agents by these words.")
    last_seen_at = serializers.DateTimeField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True, help_text="Time of its first call.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OriginalAgentSerializer(serializers.Serializer[Any]):
    """An agent in the original's shape."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    available = serializers.BooleanField()
    name = serializers.CharField()
    alias = serializers.CharField()
    remark = serializers.CharField()
    ip = serializers.CharField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


ORIGINAL_FIELDS = frozenset(OriginalAgentSerializer().fields)


class AgentWithTokenSerializer(AgentSerializer):
    """A new agent with its token, shown this once."""

    token = serializers.CharField()


class AgentListSerializer(serializers.Serializer[Any]):
    """All agents, by name; `next` is always null."""

    items = AgentSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class TokenSerializer(serializers.Serializer[Any]):
    """A token, shown this once."""

    token = serializers.CharField()


class Agents(Operation):
    """/agents."""

    def get_authenticators(self) -> list[Any]:
        """Let tokens for jobs read, because they name agents; only full ones change."""
        return [JobsUser() if self.request is not None and self.request.method == "GET" else FullUser()]

    @describe("agents_list", "List agents", answers={200: AgentListSerializer})
    def get(self, request: Request) -> Response:
        """Return all of the caller's agents, by name."""
        agents = Agent.objects.visible_to(caller(request)).prefetch_related("tags").order_by("name", "pk")
        return Response({"items": [agent_json(agent) for agent in agents], "next": None})

    @describe(
        "agents_create",
        "Add an agent",
        answers={201: AgentWithTokenSerializer},
        errors=[NameTaken, AgentLimit],
        request=NewAgentSerializer,
    )
    def post(self, request: Request) -> Response:
        """Make an agent and its token, which is shown this once."""
        principal = caller(request)
        fields = checked_body(NewAgentSerializer, self.read_body(request))
        owner = read_user(user_id=principal.owner_id)
        agent, token = create_agent(owner=owner, actor=principal.actor, **fields)
        return Response({**agent_json(agent), "token": token}, status=201, headers={"Location": f"/agents/{agent.pk}"})


class SystemAgents(Operation):
    """/sys/users/{id}/agents."""

    authentication_classes = (UpstreamSystem,)
    ignores_unknown = True

    @describe(
        "sys_agents_create",
        "Add an agent for a user",
        answers={201: OriginalAgentSerializer},
        errors=[NameTaken, AgentLimit, NotFound],
        request=NewAgentSerializer,
    )
    def post(self, request: Request, user_id: str) -> Response:
        """Make an agent and answer in the original's shape, without a token: its owner mints one."""
        body = self.read_body(request)
        # A call of the original: it ignores unknown fields.
        known = {name: value for name, value in body.items() if name in _NEW_AGENT_FIELDS}
        fields = checked_body(NewAgentSerializer, known)
        owner = read_active_user(user_id=user_id)
        agent, _token = create_agent(owner=owner, actor=SYSTEM_ACTOR, **fields)
        answer = agent_json(agent)
        return Response({name: value for name, value in answer.items() if name in ORIGINAL_FIELDS}, status=201)


class OneAgent(Operation):
    """/agents/{id}."""

    def get_authenticators(self) -> list[Any]:
        """Let tokens for jobs read; only full ones change."""
        return [JobsUser() if self.request is not None and self.request.method == "GET" else FullUser()]

    @describe("agents_read", "Read an agent", answers={200: AgentSerializer}, errors=[NotFound])
    def get(self, request: Request, agent_id: str) -> Response:
        """Return one agent."""
        return Response(agent_json(_agent_of(caller(request), agent_id)))

    @describe(
        "agents_update",
        "Change an agent",
        answers={200: AgentSerializer},
        errors=[NotFound, NameTaken],
        request=AgentChangeSerializer,
    )
    def patch(self, request: Request, agent_id: str) -> Response:
        """Change the fields that are sent. Disabling cancels the agent's jobs."""
        principal = caller(request)
        agent = _agent_of(principal, agent_id)
        fields = checked_body(AgentChangeSerializer, self.read_body(request))
        agent = update_agent(agent=agent, change=AgentChange(**fields), actor=principal.actor)
        return Response(agent_json(agent))

    @describe(
        "agents_delete",
        "Delete an agent",
        answers={204: None},
        errors=[NotFound, AgentOnline],
        parameters=[query("force", "1: also while it is online.", enum=["0", "1"])],
    )
    def delete(self, request: Request, agent_id: str) -> Response:
        """Delete an agent: its token is revoked, its jobs are canceled."""
        principal = caller(request)
        agent = _agent_of(principal, agent_id)
        force = query_value(request, "force")
        if force not in (None, "0", "1"):
            raise InvalidRequest(_("force is 0 or 1."))
        delete_agent(agent=agent, actor=principal.actor, force=force == "1")
        return Response(status=204)


class AgentTokens(Operation):
    """/agents/{id}/token."""

    authentication_classes = (FullUser,)

    @describe("agents_reset_token", "Give an agent a new token", answers={201: TokenSerializer}, errors=[NotFound])
    def post(self, request: Request, agent_id: str) -> Response:
        """Mint a token, which is shown once; the old one is refused within a second."""
        principal = caller(request)
        agent = _agent_of(principal, agent_id)
        return Response({"token": reset_agent_token(agent=agent, actor=principal.actor)}, status=201)


def _agent_of(principal: Principal, agent_id: str) -> Agent:
    """Return the caller's agent; raise NotFound for a malformed id and for an agent of another owner."""
    agent = Agent.objects.visible_to(principal).filter(pk=agent_id).first() if is_id(agent_id) else None
    if agent is None:
        raise NotFound
    return agent
