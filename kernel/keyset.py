"""Pages of a long list by the id of the row at their edge: as fast at the thousandth page as at the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import models

from kernel.ids import is_id

_Row = TypeVar("_Row", bound=models.Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Generic[_Row]):
    """Rows from the newest to the oldest; `newer` and `older` are the ids to go on from, empty at the ends."""

    rows: list[_Row]
    newer: str
    older: str


def slice_of(rows: models.QuerySet[_Row], *, before: str = "", after: str = "", size: int) -> Slice[_Row]:
    """Return up to `size` rows older than the id `before`, newer than `after`, or the newest. One query, rarely two.

    What is no id counts as not given. Fewer than a page before the newest row: the newest page.
    """
    if is_id(after):
        found = list(rows.filter(pk__gt=after).order_by("pk")[: size + 1])
        if len(found) > size:
            found = found[:size][::-1]
            return Slice(rows=found, newer=str(found[0].pk), older=str(found[-1].pk))
    older_than = before if is_id(before) and not is_id(after) else ""
    wanted = rows.filter(pk__lt=older_than) if older_than else rows
    found = list(wanted.order_by("-pk")[: size + 1])
    more, found = len(found) > size, found[:size]
    newer = older_than and (str(found[0].pk) if found else "")
    return Slice(rows=found, newer=newer, older=str(found[-1].pk) if more else "")
