"""Small named values that scripts keep between runs, with compare-and-swap writes.

A write is one UPDATE on the version that its writer decided by, so of two that hold the same ETag one gets through;
there is nothing to lock and nothing to wait for.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models.functions import Length
from django.utils.translation import gettext_lazy as _

from jobs.models import STATE_NAME_LENGTH, StateEntry
from kernel.clock import database_now
from kernel.errors import NotFound, PreconditionFailed, StateLimit, Unavailable
from kernel.names import NameRule

ENTRIES_LIMIT = 1000
"""Entries of one owner. Counted before an entry is made: those made in the same moment may pass it together."""

WRONG_NAME = _("A name has 1 to %(limit)s letters, digits, dots, lines and dashes.")
_NAME = NameRule(
    longest=STATE_NAME_LENGTH,
    only=string.ascii_letters + string.digits + "._-",
    wrong_length=WRONG_NAME,
    wrong_character=WRONG_NAME,
)
# Each lost race means that another write succeeded. The limit stops a call under constant contention.
_TRIES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The caller's precondition on the stored entry: RFC 9110, 13.1. None: nothing; "*": there is one.

    `match`: it has one of these ETags. `none_match`: it has none of these.
    """

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def holds(self, etag: str | None) -> bool:
        """Tell whether this is true of the entry with that ETag; None: there is no entry."""
        if self.match is not None and not _is_one(etag, self.match):
            return False
        return self.none_match is None or not _is_one(etag, self.none_match)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePage:
    """Entries, newest first, without their content but with its bytes; `older_than`: empty at the end."""

    items: Sequence[tuple[StateEntry, int]]
    older_than: str


def etag_of(entry: StateEntry) -> str:
    """Return the ETag of an entry, without quotes. An entry that was deleted and created again never repeats an old
    version.
    """
    return hashlib.blake2b(f"{entry.pk}:{entry.version}".encode(), digest_size=10).hexdigest()


def read_state(*, owner_id: str, name: str) -> StateEntry:
    """Return one of the owner's entries. Raises NotFound, and InvalidRequest for an invalid name."""
    entry = _find(owner_id, name)
    if entry is None:
        raise NotFound
    return entry


def write_state(
    *, owner_id: str, name: str, content: bytes, content_type: str, condition: Condition
) -> tuple[StateEntry, bool]:
    """Write an entry whole; return it and whether it is new.

    Raises PreconditionFailed if the condition does not hold at the time of the write, StateLimit, and InvalidRequest
    for an invalid name.
    """
    for _time in range(_TRIES):
        entry = _find(owner_id, name)
        if not condition.holds(etag_of(entry) if entry else None):
            raise PreconditionFailed
        if entry is None:
            entry = _create(owner_id, name, content, content_type)
            if entry is not None:
                return entry, True
        elif _replace(entry, content, content_type):
            return entry, False
    raise Unavailable


def delete_state(*, owner_id: str, name: str, condition: Condition) -> None:
    """Delete an entry. Raises NotFound, PreconditionFailed, and InvalidRequest for an invalid name."""
    for _time in range(_TRIES):
        entry = read_state(owner_id=owner_id, name=name)
        if not condition.holds(etag_of(entry)):
            raise PreconditionFailed
        if StateEntry.objects.filter(pk=entry.pk, version=entry.version).delete()[0]:
            return
    raise Unavailable


def list_state(*, owner_id: str, begins_with: str = "", older_than: str, size: int) -> StatePage:
    """Return a page of the owner's entries whose names begin so.

    `older_than`: the last id of the page before, or empty.
    """
    entries = StateEntry.objects.filter(owner_id=owner_id, name__startswith=begins_with)
    entries = entries.defer("content").annotate(size_bytes=Length("content"))
    if older_than:
        entries = entries.filter(pk__lt=older_than)
    found = [(entry, entry.size_bytes) for entry in entries.order_by("-pk")[: size + 1]]
    return StatePage(items=found[:size], older_than=found[size - 1][0].pk if len(found) > size else "")


def _find(owner_id: str, name: str) -> StateEntry | None:
    _NAME.check(name)
    return StateEntry.objects.filter(owner_id=owner_id, name=name).first()


def _create(owner_id: str, name: str, content: bytes, content_type: str) -> StateEntry | None:
    """Return the new entry, or None if another writer won the race."""
    if StateEntry.objects.filter(owner_id=owner_id).count() >= ENTRIES_LIMIT:
        raise StateLimit(params={"limit": ENTRIES_LIMIT})
    now = database_now()
    entry = StateEntry(
        owner_id=owner_id,
        name=name,
        content=content,
        content_type=content_type,
        version=1,
        created_at=now,
        updated_at=now,
    )
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
    except IntegrityError:
        return None
    return entry


def _replace(entry: StateEntry, content: bytes, content_type: str) -> bool:
    """Write over the version that was read; tell whether it was still there. `entry` is then as it was written."""
    seen = entry.version
    entry.content, entry.content_type = content, content_type
    entry.version, entry.updated_at = seen + 1, database_now()
    rows = StateEntry.objects.filter(pk=entry.pk, version=seen)
    written = rows.update(
        content=content, content_type=content_type, version=entry.version, updated_at=entry.updated_at
    )
    return bool(written)


def _is_one(etag: str | None, etags: frozenset[str]) -> bool:
    return etag is not None and ("*" in etags or etag in etags)
