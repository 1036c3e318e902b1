"""The hashing of passwords, with a bound on what it costs the whole process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils.translation import gettext_lazy as _

from kernel.errors import Unavailable

_AT_ONCE = 2
_WAIT_SECONDS = 5.0
_places = threading.BoundedSemaphore(_AT_ONCE)


class BoundedArgon2(Argon2PasswordHasher):
    """Argon2id with 19 MiB, two passes and one lane, two hashes at a time in a process.

    The numbers are OWASP's. Hashes with other numbers are still verified; the next login stores them again. A caller
    that does not get its turn within five seconds raises Unavailable.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash a password."""
        with _place():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether the password is the one that was hashed."""
        with _place():
            return super().verify(password, encoded)


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=_WAIT_SECONDS):
        raise Unavailable(_("Too many people log in right now. Try again in a moment."), retry_after_seconds=5)
    try:
        yield
    finally:
        _places.release()
