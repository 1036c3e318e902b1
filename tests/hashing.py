"""Passwords of tests: hashed by the product's algorithm at its least cost. Real servers hash at full cost."""

from __future__ import annotations

from accounts.hashing import BoundedArgon2


class QuickArgon2(BoundedArgon2):
    """Argon2 that takes microseconds in place of a tenth of a second."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
