"""Ring the deliveries whose bell was lost, or whose sender died; a share for each lane."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

from kernel.bells import ring
from kernel.clock import database_now
from notifications.models import Delivery

SWEEP_LIMIT = 500
_LANE_SHARE = 50
"""A lane gets this many bells before the sweep looks at the other lanes: one slow target must not use up a sweep."""

_LOST_AFTER = dt.timedelta(seconds=2)


def ring_due_deliveries(*, limit: int = SWEEP_LIMIT, now: dt.datetime | None = None) -> int:
    """Ring at most `limit` deliveries that have been due for two seconds or whose claim has run out; return how many.

    Example with limit 500: 10,000 are due in lane A, 30 in lane B. The first look finds 500 of A, which is more than a
    share, so 50 of A are kept and lane A is left out of the second look. That one finds B's 30. The 420 places that are
    left go to A.
    """
    now = now or database_now()
    # Several deliveries postponed to the same time keep the order in which they were accepted.
    due = Delivery.objects.claimable(now - _LOST_AFTER).order_by("due_at", "pk").values_list("pk", "lane")
    rung: list[str] = []
    beyond_share: list[str] = []
    full_lanes: set[str] = set()
    while room := limit - len(rung):
        lanes: defaultdict[str, list[str]] = defaultdict(list)
        for delivery_id, lane in due.exclude(lane__in=full_lanes)[:room]:
            lanes[lane].append(delivery_id)
        is_cut = sum(map(len, lanes.values())) == room
        long_lanes = {lane for lane, ids in lanes.items() if is_cut and len(ids) > _LANE_SHARE}
        if not long_lanes:
            rung += [delivery_id for ids in lanes.values() for delivery_id in ids]
            break
        for lane in long_lanes:
            rung += lanes[lane][:_LANE_SHARE]
            beyond_share += lanes[lane][_LANE_SHARE:]
        full_lanes |= long_lanes
    rung += beyond_share[: limit - len(rung)]
    for delivery_id in rung:
        ring("delivery", delivery_id)
    return len(rung)
