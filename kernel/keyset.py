"""Keyset pagination: a page begins at the id of a row, so the thousandth page is as fast as the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import models

from kernel.ids import is_id

_Row = TypeVar("_Row", bound=models.Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(Generic[_Row]):
    """One page, newest row first. The next pages begin at the ids `newer` and `older`; empty: there is no such page."""

    rows: list[_Row]
    newer: str
    older: str


def slice_of(rows: models.QuerySet[_Row], *, before: str = "", after: str = "", size: int, by: str = "") -> Slice[_Row]:
    """Return up to `size` rows older than the id `before`, newer than `after`, or the newest. One query, rarely two.

    `by`: a time column that orders the rows, for tables whose ids do not grow with time. The id then only orders rows
    of the same time, and a page that begins at an id costs one query more.

    A malformed or unknown id is ignored. If fewer than `size` rows are newer than `after`, the newest page is returned.
    """
    newer_than = _Edge.at(rows, after, by)
    if newer_than is not None:
        found = list(newer_than.newer(rows).order_by(*filter(None, [by, "pk"]))[: size + 1])
        if len(found) > size:
            found = found[:size][::-1]
            return Slice(rows=found, newer=str(found[0].pk), older=str(found[-1].pk))
    older_than = _Edge.at(rows, before, by) if newer_than is None else None
    wanted = rows if older_than is None else older_than.older(rows)
    found = list(wanted.order_by(*newest_first(by))[: size + 1])
    more, found = len(found) > size, found[:size]
    edge = older_than.row_id if older_than is not None else ""
    newer = edge and (str(found[0].pk) if found else "")
    return Slice(rows=found, newer=newer, older=str(found[-1].pk) if more else "")


def newest_first(by: str = "") -> list[str]:
    """Return the arguments of `order_by` that `slice_of` uses."""
    return [f"-{by}", "-pk"] if by else ["-pk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    """The row at which a page begins: its id, and its value of the column `by`, if there is one."""

    row_id: str
    by: str = ""
    moment: object = None

    @classmethod
    def at(cls, rows: models.QuerySet[_Row], row_id: str, by: str) -> _Edge | None:
        if not is_id(row_id):
            return None
        if not by:
            return cls(row_id=row_id)
        moment = rows.model._default_manager.filter(pk=row_id).values_list(by, flat=True).first()
        return None if moment is None else cls(row_id=row_id, by=by, moment=moment)

    def older(self, rows: models.QuerySet[_Row]) -> models.QuerySet[_Row]:
        return self._beyond(rows, "lt")

    def newer(self, rows: models.QuerySet[_Row]) -> models.QuerySet[_Row]:
        return self._beyond(rows, "gt")

    def _beyond(self, rows: models.QuerySet[_Row], way: str) -> models.QuerySet[_Row]:
        beyond = models.Q(**{f"pk__{way}": self.row_id})
        if self.by:
            # This condition lets the database use the index on `by`; the OR below does not.
            rows = rows.filter(**{f"{self.by}__{way}e": self.moment})
            beyond |= models.Q(**{f"{self.by}__{way}": self.moment})
        return rows.filter(beyond)
