"""Passwords of tests: hashed by the product's algorithm at its least cost. Real servers hash at full cost."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher


class QuickArgon2(Argon2PasswordHasher):
    """Argon2 that takes microseconds in place of a tenth of a second."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
