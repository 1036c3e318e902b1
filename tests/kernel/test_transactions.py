"""A transaction is rolled back if its process stood still in the middle."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from django.db import OperationalError

from accounts.models import User
from kernel import transactions
from kernel.transactions import LostRace, StaleClock, named_transaction, run_one
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_body_that_slept_writes_nothing() -> None:
    def sleep_in_it() -> None:
        with named_transaction("run_one", fresh_seconds=0.05):
            make_user("sleeper")
            time.sleep(0.1)

    with pytest.raises(StaleClock):
        sleep_in_it()
    assert not User.objects.filter(username="sleeper").exists()


def test_a_view_that_slept_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "FRESH_SECONDS", 0.5)
    naps = [0.7, 0.0]

    def service(names: Sequence[str]) -> list[str]:
        make_user(f"{names[0]}-{len(naps)}")
        time.sleep(naps.pop(0))
        return list(names)

    assert run_one(service, "napper") == "napper"
    assert [*User.objects.filter(username__startswith="napper").values_list("username", flat=True)] == ["napper-1"]


def test_a_deadlock_is_a_lost_race_and_is_run_again() -> None:
    """The error of MySQL and MariaDB when they roll a transaction back to resolve a deadlock."""
    errors: list[Exception] = [OperationalError(1213, "Deadlock found when trying to get lock")]

    def service(names: Sequence[str]) -> list[str]:
        make_user(f"{names[0]}-{len(errors)}")
        if errors:
            raise errors.pop()
        return list(names)

    assert run_one(service, "dancer") == "dancer"
    assert [*User.objects.filter(username__startswith="dancer").values_list("username", flat=True)] == ["dancer-0"]


def test_a_deadlock_within_an_outer_transaction_ends_the_outer_one() -> None:
    """The database has rolled back all of it, so a savepoint cannot be run again by itself."""
    calls = []

    def service(names: Sequence[str]) -> list[str]:
        calls.append(names)
        raise OperationalError(1213, "Deadlock found when trying to get lock")

    def outer() -> None:
        with named_transaction("run_one"):
            run_one(service, "dancer")

    with pytest.raises(LostRace):
        outer()
    assert len(calls) == 1
