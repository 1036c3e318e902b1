"""The limits on what waits of one person: how many of their jobs, how many of their delayed jobs (`accounts.plan`)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from accounts.models import User
from accounts.plan import Plan, plan_of
from jobs.models import DelayedJob, DelayedState, Job

_PEOPLE_REMEMBERED = 10_000
_GRANT_WITHOUT_LIMIT = 1_000


class Room:
    """Tells how many more rows a person may have.

    Counting ten thousand rows costs milliseconds, so a process that has counted grants a tenth of the room that it
    found without counting again. Near the limit every call counts. Several processes together may pass the limit by a
    tenth of it for each process.
    """

    def __init__(self, limit: Callable[[Plan], int | None], count: Callable[[str, int], int]) -> None:
        self._limit = limit
        self._count = count
        self._granted: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, owner_id: str, wanted: int) -> tuple[int, int]:
        """Return how many of the wanted rows the person may have now, and the limit where that is fewer than wanted.

        No query within what was granted before, else two: the person, and the count.
        """
        with self._lock:
            granted = self._granted.get(owner_id, 0)
            if granted >= wanted:
                self._granted[owner_id] = granted - wanted
                return wanted, 0
        limit = self._limit(plan_of(User.objects.get(pk=owner_id)))
        room = None if limit is None else max(0, limit - self._count(owner_id, limit))
        given = wanted if room is None else min(wanted, room)
        self._remember(owner_id, _GRANT_WITHOUT_LIMIT if room is None else (room - given) // 10)
        return given, limit or 0

    def _remember(self, owner_id: str, granted: int) -> None:
        with self._lock:
            self._granted[owner_id] = granted
            self._granted.move_to_end(owner_id)
            if len(self._granted) > _PEOPLE_REMEMBERED:
                self._granted.popitem(last=False)


def _count_waiting(owner_id: str, up_to: int) -> int:
    return Job.objects.waiting().filter(owner_id=owner_id)[:up_to].count()


def _count_scheduled(owner_id: str, up_to: int) -> int:
    return DelayedJob.objects.filter(owner_id=owner_id, state=DelayedState.SCHEDULED)[:up_to].count()


waiting_jobs = Room(lambda plan: plan.waiting_jobs, _count_waiting)
delayed_jobs = Room(lambda plan: plan.delayed_jobs, _count_scheduled)
