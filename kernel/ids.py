"""Ids: lower-case UUID text. Rows have version 7, jobs of an occurrence version 5. An id is never a secret."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import uuid

from kernel.clock import approximate_ns

ID_LENGTH = 36
_SHAPE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OCCURRENCE_SPACE = uuid.UUID("6f0c8e0a-5d0a-5f6e-9a53-3d1f0b6a7c11")

_SET_BACK_TICKS = 10_000 * 16384
"""A clock that goes back by more than ten seconds was set back: ids follow it, or they would stay in the future."""

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Return a version 7 UUID (RFC 9562) of the database's time that sorts after every id this process made before.

    The 12 bits after the version and the first 2 bits after the variant hold a fraction of the millisecond. It is
    raised by one where two ids would be equal, so the ids of one process strictly increase unless the database's clock
    is set back by more than ten seconds. 60 bits are random.
    """
    global _last
    with _lock:
        ticks = approximate_ns() * 16384 // 1_000_000
        _last = ticks if ticks < _last - _SET_BACK_TICKS else max(ticks, _last + 1)
        ticks = _last
    milliseconds, fraction = divmod(ticks, 16384)
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (fraction >> 2) << 64 | 2 << 62 | (fraction & 3) << 60
    return str(uuid.UUID(int=value | int.from_bytes(os.urandom(8)) >> 4))


def lowest_id(moment: dt.datetime) -> str:
    """Return an id that sorts before all ids made from that millisecond on, and after all ids made earlier."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(uuid.UUID(int=(milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | 2 << 62))


def occurrence_id(parent_id: str, occurrence: str) -> str:
    """Return the version 5 id of one occurrence of a delayed job or schedule: the same at every attempt."""
    return str(uuid.uuid5(_OCCURRENCE_SPACE, f"{parent_id}/{occurrence}"))


def is_id(text: str) -> bool:
    """Tell whether `text` has the shape of one of our ids."""
    return _SHAPE.fullmatch(text) is not None
