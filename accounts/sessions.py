"""Audit entries for logins, failed logins and logouts on the pages, written by receivers of Django's signals."""

from __future__ import annotations

import logging
from typing import Any

from axes.helpers import get_client_ip_address
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from accounts.limits import count_within
from accounts.models import User
from accounts.services.audit import record_audit
from kernel.clock import database_now
from kernel.errors import LimitExceeded
from kernel.limits import audited_failures
from kernel.strictjson import JsonValue

logger = logging.getLogger(__name__)


def connect_receivers() -> None:
    """Connect the receivers. Called in `AppConfig.ready()`."""
    user_logged_in.connect(_on_login, dispatch_uid="accounts.login")
    user_logged_out.connect(_on_logout, dispatch_uid="accounts.logout")
    user_login_failed.connect(_on_login_failed, dispatch_uid="accounts.login_failed")


def _on_login(sender: object, request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    _record("login", f"user:{user.pk}", f"user:{user.pk}", request)


def _on_logout(sender: object, request: HttpRequest | None, user: User | None, **_kwargs: Any) -> None:
    if user is not None:
        _record("logout", f"user:{user.pk}", f"user:{user.pk}", request)


def _on_login_failed(
    sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any
) -> None:
    """Record the user whose name was typed, never the text itself: people type passwords into the name field.

    Untrusted clients can fail, so at most 60 failures a minute get a line; the log says that there were more.
    """
    try:
        count_within(audited_failures())
    except LimitExceeded:
        logger.warning("more logins failed than are recorded", extra={"action": "login.flood"})
        return
    known = User.objects.filter(username=str(credentials.get("username", ""))[:150]).values_list("pk", flat=True)
    owner = known.first()
    _record("login_failed", "anonymous", f"user:{owner}" if owner else "user:unknown", request)


def _record(action: str, actor: str, subject: str, request: HttpRequest | None) -> None:
    details: dict[str, JsonValue] = {}
    if request is not None and (address := get_client_ip_address(request)):
        details["ip"] = str(address)
    record_audit(actor=actor, action=action, subject=subject, now=database_now(), details=details)
