"""Chat identities: find or create, bind and unbind the accounts of people on chat platforms."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from accounts.models import ChatIdentity, User
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.transactions import named_transaction

_DISPLAY_LENGTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAddress:
    """The address of a person on a chat platform: the platform, our account there, and the person's id there."""

    platform: str
    account: str
    external_id: str


def find_identity(address: ChatAddress) -> ChatIdentity | None:
    """Return the identity at that address, its user loaded, or None. One query."""
    rows = ChatIdentity.objects.select_related("owner")
    row = rows.filter(platform=address.platform, account=address.account, external_id=address.external_id).first()
    # Ids of platforms are case-sensitive; a database that ignores case or padding could return another person's row.
    return row if row is not None and row.external_id == address.external_id else None


def meet_identity(address: ChatAddress, *, display: str = "", language: str = "") -> tuple[ChatIdentity, bool]:
    """Return the identity at that address and whether it is new. A new one gets a user without a password."""
    known = find_identity(address)
    if known is not None:
        return known, False
    with named_transaction("identity.meet"):
        now = database_now()
        try:
            with transaction.atomic():
                identity = _add(_new_user(address, language), address, display, now)
        except IntegrityError:
            winner = find_identity(address)
            if winner is None:
                raise
            return winner, False
        actor = f"user:{identity.owner_id}"
        record_audit(actor=actor, action="user.meet", subject=actor, now=now, details={"platform": address.platform})
    return identity, True


def bind_identity(address: ChatAddress, *, owner: User, display: str = "") -> ChatIdentity:
    """Bind the address to `owner` from now on, also if it is bound to another user."""
    with named_transaction("identity.bind"):
        now = database_now()
        identity = find_identity(address) or _add(owner, address, display, now)
        details = {"platform": address.platform, "identity": identity.pk, "before": identity.owner_id}
        identity.owner, identity.active, identity.bound_at = owner, True, now
        identity.save(update_fields=["owner", "active", "bound_at"])
        actor = f"user:{owner.pk}"
        record_audit(actor=actor, action="identity.bind", subject=actor, now=now, details=dict(details))
    return identity


def unbind_identity(identity: ChatIdentity, *, actor: str) -> None:
    """Delete the identity. The next text from its address creates a new user."""
    with named_transaction("identity.unbind"):
        now = database_now()
        subject = f"user:{identity.owner_id}"
        details = {"platform": identity.platform, "identity": identity.pk}
        ChatIdentity.objects.filter(pk=identity.pk).delete()
        record_audit(actor=actor, action="identity.unbind", subject=subject, now=now, details=dict(details))


def set_identity_active(identity: ChatIdentity, active: bool) -> None:
    """Store whether the person can be reached on the platform or has left. The binding stays."""
    ChatIdentity.objects.filter(pk=identity.pk).update(active=active)
    identity.active = active


def set_language(*, user: User, language: str) -> None:
    """Set the language of messages to this person."""
    User.objects.filter(pk=user.pk).update(language=language)
    user.language = language


def _add(owner: User, address: ChatAddress, display: str, now: dt.datetime) -> ChatIdentity:
    identity = ChatIdentity(
        owner=owner,
        platform=address.platform,
        account=address.account,
        external_id=address.external_id,
        display=display[:_DISPLAY_LENGTH],
        bound_at=now,
    )
    identity.save(force_insert=True)
    return identity


def _new_user(address: ChatAddress, language: str) -> User:
    """Create a user named after the platform, because platforms no longer reveal the names of people."""
    user = User(username=f"{address.platform}-{new_id().replace('-', '')[-12:]}", language=language)
    user.set_unusable_password()
    user.save(force_insert=True)
    return user
