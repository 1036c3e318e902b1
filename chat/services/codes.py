"""One-time codes: valid for a few minutes and one use, stored as keyed digests.

A code to bind has 65 random bits. A code to log in has six digits; a chat that sends five wrong codes is blocked for
ten minutes. A guessed login code only logs another browser in as the guesser, never the guesser as another user.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from accounts.models import User
from accounts.services.audit import record_audit
from chat.models import CodeKind, OneTimeCode, WrongCodes
from kernel.clock import database_now
from kernel.transactions import named_transaction

LIFE = dt.timedelta(minutes=10)
LOGIN_LIFE = dt.timedelta(minutes=5)
WRONG_LIMIT = 5
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, without letters that look like digits."""
_BIND_CHARACTERS = 13
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOffer:
    """A browser's login offer: six digits to type, the scene of its QR code, a number to compare after scanning."""

    code: str
    scene: str
    number: str


def new_bind_code(*, owner: User) -> str:
    """Return a code that binds a chat to this user; their previous code expires."""
    characters = "".join(secrets.choice(_ALPHABET) for _ in range(_BIND_CHARACTERS))
    code = f"{characters[:4]}-{characters[4:8]}-{characters[8:]}"
    with named_transaction("code.bind"):
        now = database_now()
        OneTimeCode.objects.filter(kind=CodeKind.BIND, owner=owner).delete()
        OneTimeCode.objects.create(
            kind=CodeKind.BIND, digest=_digest(CodeKind.BIND, code), owner=owner, created_at=now, expires_at=now + LIFE
        )
    return code


def begin_login(*, browser: str) -> LoginOffer:
    """Make a new login offer for a browser; earlier ones expire. `browser` is a secret in its session."""
    number = f"{secrets.randbelow(10_000):04}"
    scene = secrets.token_urlsafe(16)
    with named_transaction("code.login"):
        now = database_now()
        browser_digest = _digest("browser", browser)
        OneTimeCode.objects.filter(browser_digest=browser_digest).delete()
        OneTimeCode.objects.create(
            kind=CodeKind.SCENE,
            digest=_digest(CodeKind.SCENE, scene),
            browser_digest=browser_digest,
            shown_number=number,
            created_at=now,
            expires_at=now + LOGIN_LIFE,
        )
        code = _free_login_code(browser_digest, now)
    return LoginOffer(code=code, scene=scene, number=number)


def number_of_scene(scene: str) -> str | None:
    """Return the number that the browser of a scanned QR code shows; None if the code is expired or unknown."""
    rows = _open(CodeKind.SCENE, scene, database_now())
    return rows.values_list("shown_number", flat=True).first()


def approve_login(*, code: str, owner: User, place: str) -> bool:
    """Log the browser that shows this code, or this scene's QR code, in as `owner`; False if no browser does.

    `place` is the conversation whose wrong codes are counted.
    """
    with named_transaction("code.approve"):
        now = database_now()
        if _may_not_try(place, now):
            return False
        kind = CodeKind.LOGIN if code.isdecimal() else CodeKind.SCENE
        # A new digest frees the six digits for the code of another browser.
        spent = _digest("spent", secrets.token_hex(16))
        taken = _open(kind, code, now).update(owner=owner, approved_at=now, digest=spent)
        if not taken:
            _note_wrong(place, now)
            return False
        actor = f"user:{owner.pk}"
        record_audit(actor=actor, action="login.approve", subject=actor, now=now, details={"place": place})
    return True


def collect_login(*, browser: str) -> User | None:
    """Return the user who approved this browser's login, once; None if there is none yet."""
    with named_transaction("code.collect"):
        browser_digest = _digest("browser", browser)
        rows = OneTimeCode.objects.filter(browser_digest=browser_digest, expires_at__gt=database_now())
        row = rows.exclude(approved_at=None).select_related("owner").first()
        if row is None or not OneTimeCode.objects.filter(pk=row.pk).delete()[0]:
            return None
        OneTimeCode.objects.filter(browser_digest=browser_digest).delete()
    return row.owner if row.owner is not None and row.owner.is_active else None


def take_bind_code(*, code: str, place: str) -> User | None:
    """Return the user who made this code, and expire it; None for a wrong code, or after five wrong codes."""
    with named_transaction("code.take"):
        now = database_now()
        if _may_not_try(place, now):
            return None
        row = _open(CodeKind.BIND, code, now).select_related("owner").first()
        if row is None or not OneTimeCode.objects.filter(pk=row.pk).delete()[0]:
            _note_wrong(place, now)
            return None
    return row.owner if row.owner is not None and row.owner.is_active else None


def forget_old_codes() -> int:
    """Delete expired codes and old counts of wrong codes; return the number of rows."""
    now = database_now()
    codes = OneTimeCode.objects.filter(expires_at__lt=now).delete()[0]
    return codes + WrongCodes.objects.filter(since__lt=now - LIFE).delete()[0]


def _open(kind: str, code: str, now: dt.datetime) -> models.QuerySet[OneTimeCode]:
    return OneTimeCode.objects.filter(digest=_digest(kind, code), kind=kind, approved_at=None, expires_at__gt=now)


def _free_login_code(browser_digest: str, now: dt.datetime) -> str:
    """Store and return six digits that no other browser shows now."""
    for _ in range(_TRIES):
        code = f"{secrets.randbelow(1_000_000):06}"
        try:
            with transaction.atomic():
                OneTimeCode.objects.create(
                    kind=CodeKind.LOGIN,
                    digest=_digest(CodeKind.LOGIN, code),
                    browser_digest=browser_digest,
                    created_at=now,
                    expires_at=now + LOGIN_LIFE,
                )
        except IntegrityError:
            continue
        return code
    raise RuntimeError("too many browsers wait for a login")


def _digest(kind: str, code: str) -> str:
    """Return the keyed digest. Without a key a table of a million hashes would reveal six digits."""
    plain = code.upper().replace("-", "").translate(str.maketrans("OIL", "011")) if kind == CodeKind.BIND else code
    return salted_hmac(f"letserver.chat.{kind}", plain, algorithm="sha256").hexdigest()


def _may_not_try(place: str, now: dt.datetime) -> bool:
    return WrongCodes.objects.filter(pk=place, count__gte=WRONG_LIMIT, since__gt=now - LIFE).exists()


def _note_wrong(place: str, now: dt.datetime) -> None:
    WrongCodes.objects.filter(pk=place, since__lte=now - LIFE).delete()
    WrongCodes.objects.get_or_create(pk=place, defaults={"since": now})
    WrongCodes.objects.filter(pk=place).update(count=F("count") + 1)
