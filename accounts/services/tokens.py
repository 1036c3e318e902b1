"""Mint and revoke user tokens; show people their own token again."""

from __future__ import annotations

from accounts import tokens
from accounts.models import TokenScope, User, UserToken
from accounts.plan import plan_of
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import TokenLimit
from kernel.sealing import Unsealable, seal, unseal
from kernel.transactions import named_transaction


def mint_user_token(*, user: User, scope: str, actor: str, remark: str = "", keep: bool = False) -> str:
    """Mint a token of a scope and return it. It cannot be read again, unless `keep` stores it encrypted.

    Raises TokenLimit. The lock on the person's row makes concurrent calls count each other's tokens.
    """
    token = tokens.new_user_token(scope)
    with named_transaction("token.mint"):
        _require_room_for_a_token(User.objects.select_for_update().get(pk=user.pk))
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


def _require_room_for_a_token(user: User) -> None:
    limit = plan_of(user).tokens
    if limit is None:
        return
    used = UserToken.objects.filter(user=user, revoked_at=None).count()
    if used >= limit:
        raise TokenLimit(params={"used": used, "limit": limit})


def own_token(*, user: User, scope: str, actor: str, remark: str = "") -> str:
    """Return the token of this scope that the person can ask for again; the first call mints it.

    A token that can no longer be decrypted, because its key is gone, is revoked and replaced.
    """
    with named_transaction("token.own"):
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
    """Revoke the token of this scope that the person can ask for, and return its replacement."""
    with named_transaction("token.replace"):
        User.objects.select_for_update().get(pk=user.pk)
        for row in UserToken.objects.filter(user=user, scope=scope, revoked_at=None).exclude(sealed=""):
            revoke_user_token(token=row, actor=actor)
        return mint_user_token(user=user, scope=scope, actor=actor, remark=remark, keep=True)


def note_token_in_query(*, owner_id: str, scope: str, actor: str) -> None:
    """Write an audit entry if a token with full scope came in a URL, where logs and histories store it."""
    if scope == TokenScope.FULL:
        with named_transaction("token.in_query"):
            record_audit(actor=actor, action="token.in_query", subject=f"user:{owner_id}", now=database_now())


def revoke_user_token(*, token: UserToken, actor: str) -> None:
    """Revoke a token; every process refuses it within a second. A second call changes nothing."""
    with named_transaction("token.revoke"):
        now = database_now()
        if UserToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now, changed_at=now):
            subject = f"user:{token.user_id}"
            record_audit(actor=actor, action="token.revoke", subject=subject, now=now, details={"id": token.pk})
