"""Encryption of secrets that must be read again, so that a copy of the database or of Redis reveals none of them.

The keys come from LETSERVER_SEALING_KEYS, outside the database. The first key encrypts, all keys decrypt, so a key is
rotated by putting a new one in front. Without that setting the key is derived from the secret key; changing the secret
key then loses every sealed value. Values that are only compared, such as tokens, are hashed instead.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unsealable(Exception):
    """The stored value is damaged, or its key is no longer in LETSERVER_SEALING_KEYS."""


def seal(text: str) -> str:
    """Return `text` encrypted, as ASCII: 100 characters, plus 4 for every 3 bytes."""
    return _keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Return the text that `seal` was given. Raises Unsealable."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable from error


def reseal(sealed: str) -> str:
    """Return the same text encrypted with the first key, for rotation. Raises Unsealable."""
    try:
        return _keys().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unsealable from error


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.SEALING_KEYS or [derived_key()]])


def derived_key() -> str:
    """Return the key that is used without LETSERVER_SEALING_KEYS, derived from the secret key."""
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"letserver sealing")
    return base64.urlsafe_b64encode(derivation.derive(settings.SECRET_KEY.encode())).decode()
