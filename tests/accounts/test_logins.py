"""Passwords: what trying them costs the server, and what it leaves behind."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, identify_hasher
from django.test import Client, override_settings

from accounts import hashing
from accounts.hashing import BoundedArgon2
from accounts.models import AuditEntry, User
from accounts.services.attempts import forget_old_attempts
from kernel.clock import database_now
from kernel.errors import Unavailable

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only]

_PASSWORD = "correct horse battery"


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=_PASSWORD)


@pytest.fixture(autouse=True)
def _limited(settings: Any) -> None:
    settings.AUTH_FAILURES_A_MINUTE = 3


def log_in(password: str, *, address: str, name: str = "alice") -> Any:
    return Client(REMOTE_ADDR=address).post("/console/login", {"username": name, "password": password})


def test_an_address_may_try_so_many_passwords_a_minute_before_anything_is_hashed(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        assert log_in("wrong", address="192.0.2.1", name=f"name{number}").status_code == 200
    verified: list[str] = []
    monkeypatch.setattr(BoundedArgon2, "verify", lambda *_: verified.append("verify"))
    monkeypatch.setattr(BoundedArgon2, "encode", lambda *_: verified.append("encode"))
    refused = log_in(_PASSWORD, address="192.0.2.1")
    assert (refused.status_code, verified) == (429, [])
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "3" in refused.content.decode()


def test_another_address_logs_in_meanwhile(alice: User) -> None:
    for _ in range(5):
        log_in("wrong", address="192.0.2.2")
    assert log_in(_PASSWORD, address="192.0.2.3").status_code == 302


def test_addresses_of_one_ipv6_subscriber_count_together(alice: User) -> None:
    statuses = [log_in("wrong", address=f"2001:db8:1:2::{number}").status_code for number in range(1, 6)]
    assert statuses == [200, 200, 200, 429, 429]


def test_so_many_hashes_run_at_once_and_who_waits_too_long_is_asked_to_come_back(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_WAIT_SECONDS", 0.05)
    running, most, release = 0, 0, threading.Event()
    lock = threading.Lock()

    def slow(*_: Any) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        release.wait(10)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(Argon2PasswordHasher, "verify", slow)
    hasher = BoundedArgon2()

    def verify(_number: int) -> str:
        try:
            return str(hasher.verify("x", "y"))
        except Unavailable:
            release.set()
            return "unavailable"

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(verify, range(6)))
    assert most == 2
    assert outcomes.count("unavailable") >= 1


def test_a_login_that_gets_no_turn_is_answered_503(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(hashing, "_places", threading.BoundedSemaphore(1))
    with hashing._place():
        busy = log_in(_PASSWORD, address="192.0.2.4")
    assert (busy.status_code, busy["Retry-After"]) == (503, "5")
    assert log_in(_PASSWORD, address="192.0.2.4").status_code == 302


@override_settings(PASSWORD_HASHERS=["accounts.hashing.BoundedArgon2"])
def test_older_hashes_are_verified_and_stored_anew(alice: User) -> None:
    class Before(Argon2PasswordHasher):
        memory_cost = 8 * 1024
        parallelism = 8

    old = Before().encode(_PASSWORD, "saltsaltsalt")
    User.objects.filter(pk=alice.pk).update(password=old)
    assert log_in(_PASSWORD, address="192.0.2.5").status_code == 302
    alice.refresh_from_db()
    assert "m=19456,t=2,p=1" in alice.password
    assert identify_hasher(alice.password).algorithm == "argon2"
    assert check_password(_PASSWORD, alice.password)


def test_failed_logins_leave_a_bounded_trace(alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AUTH_FAILURES_A_MINUTE = 0
    monkeypatch.setattr("kernel.limits._AUDITED_FAILURES", 5)
    for number in range(12):
        log_in("wrong", address=f"198.51.100.{number}", name=f"name{number}")
    assert AuditEntry.objects.filter(action="login_failed").count() <= 5
    assert AccessAttempt.objects.count() == 12
    now = database_now()
    assert forget_old_attempts(now=now + dt.timedelta(hours=20)) == 0
    assert forget_old_attempts(now=now + dt.timedelta(days=2)) == 12
