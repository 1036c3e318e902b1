"""Create, change, order, find and remove the channels of an owner."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.querysets import Viewer
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import ChannelNotFound, InvalidRequest, NameTaken
from kernel.transactions import named_transaction
from notifications.channels.confirming import ask_mailbox, needs_confirmation
from notifications.channels.settings import checked_settings, mailbox_of, sealed_settings, settings_of
from notifications.models import CHANNEL_NAME_LENGTH, WAITING_STATES, Channel, Delivery, Level

CHANNELS_LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelChange:
    """Changes to a channel; None leaves a value as it is.

    In `settings`, a missing name keeps its value, and None removes it.
    """

    name: str | None = None
    settings: Mapping[str, object] | None = None
    levels: Sequence[str] | None = None
    position: int | None = None
    enabled: bool | None = None
    quiet: tuple[dt.time, dt.time] | tuple[None, None] | None = None


def create_channel(
    *, owner_id: str, name: str, driver: str, settings: Mapping[str, object], levels: Sequence[str], actor: str
) -> Channel:
    """Add a channel behind the owner's others. Raises InvalidRequest, and NameTaken for a name that is in use."""
    checked = checked_settings(driver, settings)
    with named_transaction("channel.create"):
        # Lock the owner: concurrent calls must not pass the limit together.
        User.objects.select_for_update().get(pk=owner_id)
        now = database_now()
        if Channel.objects.filter(owner_id=owner_id).count() >= CHANNELS_LIMIT:
            raise InvalidRequest(_("A person may have %(limit)s channels."), params={"limit": CHANNELS_LIMIT})
        channel = Channel(
            owner_id=owner_id,
            name=_checked_name(name),
            driver=driver,
            position=next_position(owner_id),
            levels=_checked_levels(levels),
            sealed=sealed_settings(checked),
            created_at=now,
            changed_at=now,
        )
        _save(channel, force_insert=True)
        if needs_confirmation(channel):
            ask_mailbox(channel, now=now)
        _audit(channel, "channel.create", actor, now)
    return channel


def update_channel(*, channel: Channel, change: ChannelChange, actor: str) -> Channel:
    """Change a channel and return it. Enabling it clears the reason why it was off; a new mailbox must confirm."""
    with named_transaction("channel.update"):
        now = database_now()
        channel = Channel.objects.select_for_update().get(pk=channel.pk)
        mailbox = mailbox_of(channel)
        if change.name is not None:
            channel.name = _checked_name(change.name)
        if change.settings is not None:
            checked = checked_settings(channel.driver, {**settings_of(channel), **change.settings})
            channel.sealed = sealed_settings(checked)
        if change.levels is not None:
            channel.levels = _checked_levels(change.levels)
        if change.position is not None:
            channel.position = change.position
        if change.quiet is not None:
            channel.quiet_from, channel.quiet_until = change.quiet
        if change.enabled is not None and change.enabled != channel.enabled:
            channel.enabled = change.enabled
            channel.off_reason, channel.off_at = ("", None) if change.enabled else ("owner", now)
        has_new_mailbox = mailbox_of(channel) != mailbox
        if has_new_mailbox:
            channel.confirmed_at = None
        channel.changed_at = now
        _save(channel)
        if has_new_mailbox:
            ask_mailbox(channel, now=now)
        _audit(channel, "channel.update", actor, now)
    return channel


def move_channel(*, channel: Channel, up: bool, actor: str) -> None:
    """Swap a channel with the one before it (`up`) or after it; does nothing at the end of the list."""
    with transaction.atomic():
        rows = Channel.objects.select_for_update().filter(owner_id=channel.owner_id).order_by("pk")
        order = sorted(rows, key=lambda one: (one.position, one.pk))
        at = next((number for number, one in enumerate(order) if one.pk == channel.pk), 0)
        other = at - 1 if up else at + 1
        if 0 <= other < len(order):
            order[at], order[other] = order[other], order[at]
        for number, one in enumerate(order):
            if one.position != number:
                update_channel(channel=one, change=ChannelChange(position=number), actor=actor)


def delete_channel(*, channel: Channel, actor: str) -> None:
    """Remove a channel; its waiting deliveries fall back to the next one of their chain, or are given up."""
    with named_transaction("channel.delete"):
        now = database_now()
        Delivery.objects.filter(channel=channel, state__in=WAITING_STATES).update(due_at=now)
        Channel.objects.filter(pk=channel.pk).delete()
        _audit(channel, "channel.delete", actor, now)


def find_channel(*, viewer: Viewer, name_or_id: str) -> Channel:
    """Return a channel of the viewer; raise ChannelNotFound."""
    visible = Channel.objects.visible_to(viewer)
    found = visible.filter(pk=name_or_id).first() or visible.filter(name=name_or_id).first()
    if found is None:
        raise ChannelNotFound(params={"name": name_or_id[:CHANNEL_NAME_LENGTH]})
    return found


def known_channels(owner_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return (owner's id, name) and (owner's id, id) of every channel. One query; none without owners."""
    if not owner_ids:
        return set()
    rows = Channel.objects.filter(owner_id__in=owner_ids).values_list("owner_id", "name", "pk")
    return {(owner_id, called) for owner_id, *names in rows for called in names}


def next_position(owner_id: str) -> int:
    """Return the position behind the owner's last channel."""
    last = Channel.objects.filter(owner_id=owner_id).aggregate(last=Max("position"))["last"]
    return 0 if last is None else int(last) + 1


def free_name(owner_id: str, name: str) -> str:
    """Return `name`, or `name 2`, `name 3`, … if the owner has channels with such names."""
    taken = set(Channel.objects.filter(owner_id=owner_id).values_list("name", flat=True))
    return next(one for one in (name, *(f"{name} {number}" for number in range(2, 1000))) if one not in taken)


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= CHANNEL_NAME_LENGTH:
        raise InvalidRequest(
            _("A channel's name has 1 to %(limit)s characters."), params={"limit": CHANNEL_NAME_LENGTH}
        )
    return name


def _checked_levels(levels: Sequence[str]) -> list[str]:
    if unknown := [level for level in levels if level not in Level.values]:
        raise InvalidRequest(_("There is no level %(name)s."), params={"name": unknown[0][:16]})
    return [level for level in Level.values if level in levels]


def _save(channel: Channel, *, force_insert: bool = False) -> None:
    try:
        with transaction.atomic():
            channel.save(force_insert=force_insert)
    except IntegrityError as error:
        raise NameTaken(_("Another channel is called %(name)s."), params={"name": channel.name}) from error


def _audit(channel: Channel, action: str, actor: str, now: dt.datetime) -> None:
    record_audit(
        actor=actor,
        action=action,
        subject=f"user:{channel.owner_id}",
        now=now,
        details={"id": channel.pk, "driver": channel.driver},
    )
