"""GET /me: whose token is it. Here, because the counts are of all apps below."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import quotas
from accounts.authentication import AnyUser, caller
from accounts.services.users import read_user
from agents.services.presence import count_agents
from jobs.api.schema import MeSerializer
from jobs.life.listing import count_waiting
from kernel.clock import database_now, rfc3339
from kernel.http.openapi import describe
from kernel.http.rest import Operation
from notifications.models import Channel
from notifications.quota.ledger import platform_usages


class Me(Operation):
    """/me."""

    authentication_classes = (AnyUser,)

    @describe("me", "Ask whose token it is", answers={200: MeSerializer})
    def get(self, request: Request) -> Response:
        """Return the user, the scope of the token, and how much there is of what. Any user token will do."""
        principal = caller(request)
        user = read_user(user_id=principal.owner_id)
        agents, online = count_agents(viewer=principal)
        counts = {"agents": agents, "online": online, "jobs_waiting": count_waiting(viewer=principal)}
        channels = Channel.objects.visible_to(principal).in_order()
        limits = [
            *(
                {"name": usage.name, "used": usage.used, "limit": usage.limit, "recovers_at": None}
                for usage in quotas.usages(user)
            ),
            *(
                {
                    "name": usage.name,
                    "used": usage.used,
                    "limit": usage.limit,
                    "recovers_at": rfc3339(usage.recovers_at),
                }
                for usage in platform_usages(owner_id=user.pk, channels=channels, now=database_now())
            ),
        ]
        return Response(
            {
                "id": user.pk,
                "username": user.username,
                "scope": principal.scope,
                "counts": counts,
                "limits": limits,
            }
        )
