"""Rewards for invitations: a person who joins by a poster gives both sides one more agent, once."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.models import User
from accounts.services.audit import record_audit
from chat.models import Invitation
from kernel.clock import database_now
from kernel.transactions import named_transaction


def reward_invitation(*, inviter_id: str, invited: User) -> bool:
    """Give both sides one more agent; False if this person was rewarded before. Call it only for a new user."""
    with named_transaction("invitation"):
        now = database_now()
        inviter = User.objects.filter(pk=inviter_id, is_active=True).exclude(pk=invited.pk).first()
        if inviter is None:
            return False
        try:
            with transaction.atomic():
                Invitation.objects.create(inviter=inviter, invited=invited, at=now)
        except IntegrityError:
            return False
        User.objects.filter(pk__in=[inviter.pk, invited.pk]).update(bonus_agents=F("bonus_agents") + 1)
        details = {"invited": invited.pk}
        record_audit(
            actor=f"user:{invited.pk}",
            action="invitation",
            subject=f"user:{inviter.pk}",
            now=now,
            details=dict(details),
        )
    return True
