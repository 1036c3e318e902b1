"""A transaction whose process stood still in the middle is undone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from accounts.models import User
from kernel import alone
from kernel.transactions import Overslept, whole
from tests.factories import make_user

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_body_that_slept_writes_nothing() -> None:
    def sleep_in_it() -> None:
        with whole("alone", fresh_seconds=0.05):
            make_user("sleeper")
            time.sleep(0.1)

    with pytest.raises(Overslept):
        sleep_in_it()
    assert not User.objects.filter(username="sleeper").exists()


def test_a_view_that_slept_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "FRESH_SECONDS", 0.5)
    naps = [0.7, 0.0]

    def service(names: Sequence[str]) -> list[str]:
        make_user(f"{names[0]}-{len(naps)}")
        time.sleep(naps.pop(0))
        return list(names)

    assert alone.run_alone(service, "napper") == "napper"
    assert [*User.objects.filter(username__startswith="napper").values_list("username", flat=True)] == ["napper-1"]
