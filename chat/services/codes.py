"""One-time codes: a few minutes, one use, kept as keyed digests.

A code to bind has 65 random bits. A code to log in has six digits, and whoever sends five wrong codes waits until ten
minutes have passed; guessing one would let a browser in as the guesser, never the guesser as somebody else.
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
"""Crockford's: without the letters that are taken for digits."""
_BIND_CHARACTERS = 13
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOffer:
    """What a browser shows: six digits to type, a scene for the picture to scan, a number to compare after scanning."""

    code: str
    scene: str
    number: str


def new_bind_code(*, owner: User) -> str:
    """Return a code that ties a chat to this person; the one they got before ends."""
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
    """Offer this browser (`browser` is a secret in its session) new ways in; earlier ones end."""
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
    """Return the number that the browser of a scanned picture shows; None when the picture is over or never was."""
    rows = _open(CodeKind.SCENE, scene, database_now())
    return rows.values_list("shown_number", flat=True).first()


def approve_login(*, code: str, owner: User, place: str) -> bool:
    """Let the browser that shows this code, or the picture of this scene, in as `owner`; tell whether there is one."""
    with named_transaction("code.approve"):
        now = database_now()
        if _may_not_try(place, now):
            return False
        kind = CodeKind.LOGIN if code.isdecimal() else CodeKind.SCENE
        # The digest makes room: the six digits may be somebody else's next code.
        spent = _digest("spent", secrets.token_hex(16))
        taken = _open(kind, code, now).update(owner=owner, approved_at=now, digest=spent)
        if not taken:
            _note_wrong(place, now)
            return False
        actor = f"user:{owner.pk}"
        record_audit(actor=actor, action="login.approve", subject=actor, now=now, details={"place": place})
    return True


def collect_login(*, browser: str) -> User | None:
    """Return who let this browser in, once; None while nobody has."""
    with named_transaction("code.collect"):
        browser_digest = _digest("browser", browser)
        rows = OneTimeCode.objects.filter(browser_digest=browser_digest, expires_at__gt=database_now())
        row = rows.exclude(approved_at=None).select_related("owner").first()
        if row is None or not OneTimeCode.objects.filter(pk=row.pk).delete()[0]:
            return None
        OneTimeCode.objects.filter(browser_digest=browser_digest).delete()
    return row.owner if row.owner is not None and row.owner.is_active else None


def take_bind_code(*, code: str, place: str) -> User | None:
    """Return whose code this is, and end it; None for a wrong one, and for any after five wrong ones."""
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
    """Delete codes that are over and counts of wrong ones; return how many rows."""
    now = database_now()
    codes = OneTimeCode.objects.filter(expires_at__lt=now).delete()[0]
    return codes + WrongCodes.objects.filter(since__lt=now - LIFE).delete()[0]


def _open(kind: str, code: str, now: dt.datetime) -> models.QuerySet[OneTimeCode]:
    return OneTimeCode.objects.filter(digest=_digest(kind, code), kind=kind, approved_at=None, expires_at__gt=now)


def _free_login_code(browser_digest: str, now: dt.datetime) -> str:
    """Keep six digits that no other browser shows now."""
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
    """Return the keyed digest: six digits hashed without a key would be read from a table of a million."""
    plain = code.upper().replace("-", "").translate(str.maketrans("OIL", "011")) if kind == CodeKind.BIND else code
    return salted_hmac(f"letserver.chat.{kind}", plain, algorithm="sha256").hexdigest()


def _may_not_try(place: str, now: dt.datetime) -> bool:
    return WrongCodes.objects.filter(pk=place, count__gte=WRONG_LIMIT, since__gt=now - LIFE).exists()


def _note_wrong(place: str, now: dt.datetime) -> None:
    WrongCodes.objects.filter(pk=place, since__lte=now - LIFE).delete()
    WrongCodes.objects.get_or_create(pk=place, defaults={"since": now})
    WrongCodes.objects.filter(pk=place).update(count=F("count") + 1)
