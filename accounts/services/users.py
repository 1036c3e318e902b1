"""Create, read, freeze and thaw users."""

from __future__ import annotations

from accounts.hooks import run_on_frozen
from accounts.models import User
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import NotFound
from kernel.transactions import named_transaction


def get_or_create_user(*, username: str) -> User:
    """Return the user of that name; a new one has no usable password."""
    with named_transaction("user.create"):
        user = _called(username)
        if user is None:
            user = User(username=username)
            user.set_unusable_password()
            user.full_clean(exclude=["password"])
            user.save(force_insert=True)
            record_audit(actor="command", action="user.create", subject=f"user:{user.pk}", now=database_now())
        return user


def read_user(*, user_id: str) -> User:
    """Return a user by id; raise NotFound."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def read_active_user(*, user_id: str) -> User:
    """Return a user who is not frozen; raise NotFound."""
    user = read_user(user_id=user_id)
    if not user.is_active:
        raise NotFound
    return user


def ensure_staff(*, username: str, password: str) -> User:
    """Return the superuser of that name; create it, or set its password and rights."""
    with named_transaction("user.ensure_staff"):
        user = _called(username) or User(username=username)
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.full_clean()
        user.save()
        record_audit(actor="command", action="user.ensure_staff", subject=f"user:{user.pk}", now=database_now())
        return user


def set_frozen(*, user: User, frozen: bool, actor: str) -> None:
    """Freeze a user (no login, no token works, waiting jobs are canceled) or thaw them."""
    with named_transaction("user.freeze"):
        now = database_now()
        user.is_active = not frozen
        user.changed_at = now
        user.save(update_fields=["is_active", "changed_at"])
        if frozen:
            run_on_frozen(user.pk, now)
        # The audit entry comes last: its lock is taken after those of jobs, or two transactions could deadlock.
        action = "user.freeze" if frozen else "user.thaw"
        record_audit(actor=actor, action=action, subject=f"user:{user.pk}", now=now)


def _called(username: str) -> User | None:
    """Return the user of exactly that name. A database that pads before it compares finds `ann` for `ann `."""
    user = User.objects.filter(username=username).first()
    return user if user is not None and user.username == username else None
