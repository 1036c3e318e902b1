"""A database clock that is set back does not silence a channel until it is that late again."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import transaction

from kernel.clock import database_now
from notifications.drivers.base import Rate
from notifications.quota.pace import take_turn

_RATES = (Rate(number=2, seconds=60),)


@pytest.mark.django_db
@pytest.mark.parametrize("back", [dt.timedelta(hours=1), dt.timedelta(days=1)])
def test_uses_in_the_future_count_as_of_now(back: dt.timedelta) -> None:
    now = database_now()
    with transaction.atomic():
        assert [take_turn("robot:x", _RATES, now=now + back) for _ in range(2)] == [None, None]
        free_at = take_turn("robot:x", _RATES, now=now)
        assert free_at == now + dt.timedelta(seconds=60)
        assert take_turn("robot:x", _RATES, now=free_at + dt.timedelta(seconds=1)) is None
