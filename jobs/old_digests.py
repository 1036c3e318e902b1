"""Digests of requests as they were stored before an order was one value, so that their idempotency keys still match.

A key lives seven days, that of a delayed job until seven days after its end. This module can go when no row is left
that was stored before the migration `0009_one_order`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from jobs.order import JobOrder


def old_submission_digest(order: JobOrder) -> str:
    """Return the digest of a request for a job."""
    until = order.wait_until.isoformat() if order.wait_until else None
    said: list[object] = [order.agent, order.message, order.source, order.callback, until, order.ttl_seconds]
    said += [order.stored_params] if order.stored_params else []
    special = [order.queue, order.task, order.priority, order.distinct_key, order.rate_key]
    special += [order.retries, order.backoff, order.idempotent, order.columns["then"], order.notify]
    return _digest([*said, *special] if any(special) else said)


def old_delayed_digest(order: JobOrder, *, url: str, moment: Sequence[object], key: str, if_exists: str) -> str:
    """Return the digest of a request for a delayed job."""
    said = [
        order.agent, order.queue, url, order.message, moment, key, if_exists,
        order.source, order.callback, order.task, order.stored_params, order.priority, order.distinct_key,
        order.rate_key, order.retries, order.backoff, order.idempotent, order.columns["then"],
    ]  # fmt: skip
    return _digest(said)


def _digest(said: list[object]) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
