"""The settings of a channel: checked by the driver's form, kept sealed in the channel's row."""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.sealing import Unsealable, seal, unseal
from notifications.drivers.registry import all_drivers, driver_of
from notifications.models import Channel


def settings_of(channel: Channel) -> dict[str, object]:
    """Return a channel's settings, secrets included; empty if they cannot be unsealed, because the key is gone."""
    if not channel.sealed:
        return {}
    try:
        return dict(json.loads(unseal(channel.sealed)))
    except Unsealable:
        return {}


def sealed_settings(values: Mapping[str, object]) -> str:
    """Return settings as a channel's `sealed` keeps them."""
    return seal(json.dumps(values, ensure_ascii=False, default=str))


def checked_settings(driver: str, given: Mapping[str, object]) -> dict[str, object]:
    """Return settings as the driver's form reads them. Raises InvalidRequest that names the first wrong field."""
    if driver not in all_drivers() or driver_of(driver).personal:
        raise InvalidRequest(_("There is no service called %(name)s."), params={"name": driver[:32]})
    form = driver_of(driver).form({name: value for name, value in given.items() if value is not None})
    if not form.is_valid():
        name, problems = next(iter(form.errors.items()))
        raise InvalidRequest(_("%(field)s: %(problem)s"), params={"field": name, "problem": problems[0]})
    return form.cleaned_data


def made_secrets(
    driver: str, *, before: Mapping[str, object], given: Mapping[str, object], after: Mapping[str, object]
) -> dict[str, object]:
    """Return the secrets that the driver's form has made for empty fields; they are shown this once."""
    names = sorted(driver_of(driver).secret_fields())
    return {
        name: after[name]
        for name in names
        if after.get(name) and after[name] not in (before.get(name), given.get(name))
    }


def mailbox_of(channel: Channel) -> str:
    """Return the address whose reader must confirm the channel; empty if its driver asks for no confirmation."""
    return str(settings_of(channel).get(driver_of(channel.driver).confirmed_by, ""))
