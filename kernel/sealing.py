"""Secrets that must be read again are kept sealed: whoever has only the database, a dump or Redis has nothing.

The keys stand in LETSERVER_SEALING_KEYS, outside the database: the first seals, all of them open, so a key is rotated
by putting a new one in front. Without any the key is derived from the secret key, which then cannot be changed without
losing what was sealed. What must only be compared is hashed instead, not sealed.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unsealable(Exception):
    """What was kept is damaged, or was sealed with a key that is not among ours any more."""


def seal(text: str) -> str:
    """Return `text` sealed, as ASCII: 100 characters and 4 for every 3 bytes."""
    return _keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed. Raises Unsealable."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable from error


def reseal(sealed: str) -> str:
    """Return the same sealed with the first key, for rotation. Raises Unsealable."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable from error


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SEALING_KEYS or [derived_key()]])


def derived_key() -> str:
    """Return the key that seals while none is set: it follows from the secret key."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"letserver sealing")
    return base64.urlsafe_b64encode(derivation.derive(settings.SECRET_KEY.encode())).decode()
