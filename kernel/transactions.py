"""Transactions that stand on their own, by name: everything in them is committed, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from kernel.failpoints import reach


@contextmanager
def whole(name: str) -> Iterator[None]:
    """Run the body in one transaction, between the failpoints `<name>.before_commit` and `<name>.after_commit`.

    Within another transaction it is a savepoint of that one, which alone commits and has its own points.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with transaction.atomic():
        yield
        reach(f"{name}.before_commit")
    reach(f"{name}.after_commit")
