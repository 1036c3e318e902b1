"""Mint and revoke user tokens."""

from __future__ import annotations

from accounts import tokens
from accounts.models import TokenScope, User, UserToken
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.transactions import whole


def mint_user_token(*, user: User, scope: str, actor: str, remark: str = "") -> str:
    """Make a token of a scope and return it; this is the only time it can be seen."""
    token = tokens.new_user_token(scope)
    with whole("token.mint"):
        now = database_now()
        row = UserToken(
            user=user,
            scope=scope,
            digest=tokens.digest(token),
            prefix=tokens.shown_prefix(token),
            remark=remark,
            created_at=now,
            changed_at=now,
        )
        row.save(force_insert=True)
        record_audit(
            actor=actor, action="token.mint", subject=f"user:{user.pk}", now=now, details={"id": row.pk, "scope": scope}
        )
    return token


def note_token_in_query(*, owner_id: str, scope: str, actor: str) -> None:
    """Write into the audit trail that a token for everything travelled in a URL, where logs and histories keep it."""
    if scope == TokenScope.FULL:
        with whole("token.in_query"):
            record_audit(actor=actor, action="token.in_query", subject=f"user:{owner_id}", now=database_now())


def revoke_user_token(*, token: UserToken, actor: str) -> None:
    """End a token, at every process within a second. A second time changes nothing."""
    with whole("token.revoke"):
        now = database_now()
        if UserToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now, changed_at=now):
            subject = f"user:{token.user_id}"
            record_audit(actor=actor, action="token.revoke", subject=subject, now=now, details={"id": token.pk})
