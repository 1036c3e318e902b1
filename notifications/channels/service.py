"""Add, change, try, remove channels. What a driver's form asked for is kept sealed."""

from __future__ import annotations

import datetime as dt
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from accounts.models import ChatIdentity, User
from accounts.querysets import Viewer
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import ChannelNotFound, InvalidRequest, NameTaken, NotFound
from kernel.sealing import Unsealable, seal, unseal
from kernel.strictjson import JsonValue
from kernel.transactions import whole
from notifications.channels.confirming import ask_mailbox, needs_confirmation
from notifications.drivers.registry import all_drivers, driver_of
from notifications.messages.links import confirmation_of, mailbox_digest
from notifications.models import CHANNEL_NAME_LENGTH, Channel, Delivery, DeliveryState, Level

CHANNELS_LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelChange:
    """What an owner wants changed; None leaves a value as it is.

    Of `settings` what is left out stays as it is, and what is None goes.
    """

    name: str | None = None
    settings: Mapping[str, object] | None = None
    levels: Sequence[str] | None = None
    position: int | None = None
    enabled: bool | None = None
    quiet: tuple[dt.time, dt.time] | tuple[None, None] | None = None


def settings_of(channel: Channel) -> dict[str, object]:
    """Return what the driver's form asked for. A channel that cannot be unsealed has lost it: nothing is there."""
    if not channel.sealed:
        return {}
    try:
        return dict(json.loads(unseal(channel.sealed)))
    except Unsealable:
        return {}


def made_secrets(
    driver: str, *, before: Mapping[str, object], given: Mapping[str, object], after: Mapping[str, object]
) -> dict[str, object]:
    """Return the secrets that the driver's form has made for fields left empty: only now can they be told."""
    names = sorted(driver_of(driver).secret_fields())
    return {
        name: after[name]
        for name in names
        if after.get(name) and after[name] not in (before.get(name), given.get(name))
    }


def checked_settings(driver: str, given: Mapping[str, object]) -> dict[str, object]:
    """Return the settings as the driver's form reads them; raise InvalidRequest that names the first wrong one."""
    if driver not in all_drivers() or driver_of(driver).personal:
        raise InvalidRequest(_("There is no service called %(name)s."), params={"name": driver[:32]})
    form = driver_of(driver).form({name: value for name, value in given.items() if value is not None})
    if not form.is_valid():
        name, problems = next(iter(form.errors.items()))
        raise InvalidRequest(_("%(field)s: %(problem)s"), params={"field": name, "problem": problems[0]})
    return form.cleaned_data


def create_channel(
    *, owner_id: str, name: str, driver: str, settings: Mapping[str, object], levels: Sequence[str], actor: str
) -> Channel:
    """Add a channel behind the owner's others. Raises InvalidRequest, and NameTaken for a name they have."""
    kept = checked_settings(driver, settings)
    with whole("channel.create"):
        # Locked, so that of many at once each counts those before it.
        User.objects.select_for_update().get(pk=owner_id)
        now = database_now()
        if Channel.objects.filter(owner_id=owner_id).count() >= CHANNELS_LIMIT:
            raise InvalidRequest(_("A person may have %(limit)s channels."), params={"limit": CHANNELS_LIMIT})
        channel = Channel(
            owner_id=owner_id,
            name=_checked_name(name),
            driver=driver,
            position=_next_position(owner_id),
            levels=_checked_levels(levels),
            sealed=seal(json.dumps(kept, ensure_ascii=False, default=str)),
            created_at=now,
            changed_at=now,
        )
        _save(channel, force_insert=True)
        if needs_confirmation(channel):
            ask_mailbox(channel, _address_of(channel), now=now)
        _note(channel, "channel.create", actor, now)
    return channel


def update_channel(*, channel: Channel, change: ChannelChange, actor: str) -> Channel:
    """Change a channel and return it as it is now. One that is switched on again forgets why it was off."""
    is_elsewhere = False
    with whole("channel.update"):
        now = database_now()
        channel = Channel.objects.select_for_update().get(pk=channel.pk)
        if change.name is not None:
            channel.name = _checked_name(change.name)
        if change.settings is not None:
            before = _address_of(channel)
            kept = checked_settings(channel.driver, {**settings_of(channel), **change.settings})
            channel.sealed = seal(json.dumps(kept, ensure_ascii=False, default=str))
            is_elsewhere = _address_of(channel) != before
        if change.levels is not None:
            channel.levels = _checked_levels(change.levels)
        if change.position is not None:
            channel.position = change.position
        if change.quiet is not None:
            channel.quiet_from, channel.quiet_until = change.quiet
        if change.enabled is not None and change.enabled != channel.enabled:
            channel.enabled = change.enabled
            channel.off_reason, channel.off_at = ("", None) if change.enabled else ("owner", now)
        if is_elsewhere:
            channel.confirmed_at = None
        channel.changed_at = now
        _save(channel)
        if is_elsewhere:
            ask_mailbox(channel, _address_of(channel), now=now)
        _note(channel, "channel.update", actor, now)
    return channel


def ask_again(*, channel: Channel) -> None:
    """Let the mail go once more that asks a mailbox whether it agrees; nothing where it has, or need not.

    Raises LimitExceeded, and InvalidRequest for a channel that is switched off.
    """
    with whole("channel.ask"):
        now = database_now()
        channel = Channel.objects.select_for_update().get(pk=channel.pk)
        if not needs_confirmation(channel):
            return
        if not channel.enabled:
            raise InvalidRequest(_("The channel is switched off. Switch it on first."))
        ask_mailbox(channel, _address_of(channel), now=now)


def asking_channel(token: str) -> Channel:
    """Return the channel of a mail that asked; raise NotFound for a link that is forged, old, or of another address."""
    channel_id, digest = confirmation_of(token)
    channel = Channel.objects.select_related("owner").filter(pk=channel_id).first()
    if channel is None or not hmac.compare_digest(mailbox_digest(_address_of(channel)), digest):
        raise NotFound
    return channel


def confirm_channel(token: str) -> Channel:
    """Whoever reads the mailbox agrees; return the channel. Raises NotFound. Twice is once."""
    with whole("channel.confirm"):
        now = database_now()
        # Judged under the lock: another address may have been entered meanwhile.
        list(Channel.objects.select_for_update().filter(pk=confirmation_of(token)[0]))
        channel = asking_channel(token)
        if channel.confirmed_at is None:
            channel.confirmed_at = channel.changed_at = now
            channel.save(update_fields=["confirmed_at", "changed_at"])
            _note(channel, "channel.confirm", "mailbox", now)
    return channel


def move_channel(*, channel: Channel, up: bool, actor: str) -> None:
    """Let a channel change places with the one before it (or behind it); nothing at the end of the list."""
    with transaction.atomic():
        rows = Channel.objects.select_for_update().filter(owner_id=channel.owner_id).order_by("pk")
        order = sorted(rows, key=lambda one: (one.position, one.pk))
        place = next((number for number, one in enumerate(order) if one.pk == channel.pk), 0)
        other = place - 1 if up else place + 1
        if 0 <= other < len(order):
            order[place], order[other] = order[other], order[place]
        for number, one in enumerate(order):
            if one.position != number:
                update_channel(channel=one, change=ChannelChange(position=number), actor=actor)


def delete_channel(*, channel: Channel, actor: str) -> None:
    """Remove a channel; what waits for it goes to the next one of its chain, or is given up."""
    with whole("channel.delete"):
        now = database_now()
        Delivery.objects.filter(channel=channel, state__in=(DeliveryState.PENDING, DeliveryState.RETRY)).update(
            due_at=now
        )
        Channel.objects.filter(pk=channel.pk).delete()
        _note(channel, "channel.delete", actor, now)


def find_channel(*, viewer: Viewer, called: str) -> Channel:
    """Return a channel of the viewer by id or name; raise ChannelNotFound."""
    mine = Channel.objects.visible_to(viewer)
    found = mine.filter(pk=called).first() or mine.filter(name=called).first()
    if found is None:
        raise ChannelNotFound(params={"name": called[:CHANNEL_NAME_LENGTH]})
    return found


def ensure_identity_channel(identity: ChatIdentity) -> Channel:
    """Return the channel by which a person is reached where they talk to us; made for all levels, switched on again.

    The channel belongs to whom the identity belongs now.
    """
    with whole("channel.ensure"):
        now = database_now()
        driver = _DRIVER_OF_PLATFORM[identity.platform]
        place = {"driver": driver, "account": identity.account, "address": identity.external_id}
        channel = Channel.objects.select_for_update().filter(**place).first()
        if channel is None:
            channel = Channel(
                **place, levels=list(Level.values), created_at=now, name="", position=_next_position(identity.owner_id)
            )
        if channel.owner_id != identity.owner_id:
            channel.owner_id = identity.owner_id
            channel.name = _free_name(identity.owner_id, str(driver_of(driver).label))
        channel.enabled, channel.off_reason, channel.off_at, channel.changed_at = True, "", None, now
        channel.save()
    return channel


def shut_identity_channel(identity: ChatIdentity, *, reason: str) -> None:
    """Switch a person's channel off, because they have left; what waits for it goes elsewhere or is given up."""
    with whole("channel.shut"):
        now = database_now()
        Channel.objects.filter(
            driver=_DRIVER_OF_PLATFORM[identity.platform], account=identity.account, address=identity.external_id
        ).update(enabled=False, off_reason=reason, off_at=now, changed_at=now)


_DRIVER_OF_PLATFORM = {"wechat": "wechat", "wecom": "wecom_app", "telegram": "telegram", "slack": "slack"}


def _address_of(channel: Channel) -> str:
    """Return the address whose reader must agree; empty for services that ask nobody."""
    return str(settings_of(channel).get(driver_of(channel.driver).confirmed_by, ""))


def _next_position(owner_id: str) -> int:
    last = Channel.objects.filter(owner_id=owner_id).aggregate(last=Max("position"))["last"]
    return 0 if last is None else int(last) + 1


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


def _free_name(owner_id: str, name: str) -> str:
    taken = set(Channel.objects.filter(owner_id=owner_id).values_list("name", flat=True))
    return next(one for one in (name, *(f"{name} {number}" for number in range(2, 1000))) if one not in taken)


def _save(channel: Channel, *, force_insert: bool = False) -> None:
    try:
        with transaction.atomic():
            channel.save(force_insert=force_insert)
    except IntegrityError as error:
        raise NameTaken(_("Another channel is called %(name)s."), params={"name": channel.name}) from error


def _note(channel: Channel, action: str, actor: str, now: dt.datetime) -> None:
    details: dict[str, JsonValue] = {"id": channel.pk, "driver": channel.driver}
    record_audit(actor=actor, action=action, subject=f"user:{channel.owner_id}", now=now, details=details)
