"""Mint and revoke user tokens; show people their own ones again."""

from __future__ import annotations

from accounts import tokens
from accounts.models import TokenScope, User, UserToken
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.sealing import Unsealable, seal, unseal
from kernel.transactions import whole


def mint_user_token(*, user: User, scope: str, actor: str, remark: str = "", keep: bool = False) -> str:
    """Make a token of a scope and return it; this is the only time it can be seen, unless it is kept (sealed)."""
    token = tokens.new_user_token(scope)
    with whole("token.mint"):
        now = database_now()
        row = UserToken(
            user=user,
            scope=scope,
            digest=tokens.digest(token),
            prefix=tokens.shown_prefix(token),
            remark=remark,
            sealed=seal(token) if keep else "",
            created_at=now,
            changed_at=now,
        )
        row.save(force_insert=True)
        record_audit(
            actor=actor, action="token.mint", subject=f"user:{user.pk}", now=now, details={"id": row.pk, "scope": scope}
        )
    return token


def own_token(*, user: User, scope: str, actor: str, remark: str = "") -> str:
    """Return the token of this scope that the person can ask for again; made at the first time they ask.

    One that cannot be unsealed any more (the keys are gone) is revoked, and a new one made.
    """
    with whole("token.own"):
        User.objects.select_for_update().get(pk=user.pk)
        kept = UserToken.objects.filter(user=user, scope=scope, revoked_at=None).exclude(sealed="")
        row = kept.order_by("-pk").first()
        if row is not None:
            try:
                return unseal(row.sealed)
            except Unsealable:
                revoke_user_token(token=row, actor=actor)
        return mint_user_token(user=user, scope=scope, actor=actor, remark=remark, keep=True)


def replace_own_token(*, user: User, scope: str, actor: str, remark: str = "") -> str:
    """End the token of this scope that the person can ask for, and return a new one in its place."""
    with whole("token.replace"):
        User.objects.select_for_update().get(pk=user.pk)
        for row in UserToken.objects.filter(user=user, scope=scope, revoked_at=None).exclude(sealed=""):
            revoke_user_token(token=row, actor=actor)
        return mint_user_token(user=user, scope=scope, actor=actor, remark=remark, keep=True)


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
