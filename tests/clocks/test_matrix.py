"""A wrong wall clock of any process, or of all, changes nothing: what is due fires at its time, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clocks.matrix import ALL, Cell, run_cell, table
from tests.clocks.rig import PARTS, Rig
from tests.lanes.lane import Lane
from tests.waiting import until

_BEHIND = Cell(who="beat", by="4 s", sign=-1, starts=True)
"""Under this one no tick did its work, in silence."""

_OTHERS = (Cell(who="worker", by="1 h", sign=1), Cell(who="all", by="1 day", sign=-1))


@pytest.fixture
def make_rig(lane: Lane) -> Iterator[Callable[..., Rig]]:
    """Start the product once."""
    made: list[Rig] = []

    def make(**more: Any) -> Rig:
        made.append(Rig(lane, "matrix", **more))
        return made[0]

    yield make
    for rig in made:
        rig.close()


@pytest.mark.mariadb_only  # the hosts of a MariaDB have clocks of their own; SQLite runs all cells in the long tests
def test_three_cells_of_the_clock_matrix(make_rig: Callable[..., Rig], tell: Callable[[str], None]) -> None:
    rig = make_rig(shifts={_BEHIND.who: _BEHIND.seconds})
    until(lambda: "action=clock.off" in rig.log("beat"))
    rows = [run_cell(rig, _BEHIND, restart=False), *(run_cell(rig, cell) for cell in _OTHERS)]
    tell(table(rows))
    assert [row for row in rows if not row.is_good] == []


@pytest.mark.long
@pytest.mark.timeout(1100)
@pytest.mark.parametrize("who", [*PARTS, "all"])
def test_the_clock_matrix(who: str, make_rig: Callable[..., Rig], lane: Lane, tell: Callable[[str], None]) -> None:
    rig = make_rig()
    rows = [run_cell(rig, cell) for cell in ALL if cell.who == who]
    tell(f"{lane.name}\n{table(rows)}")
    assert [row for row in rows if not row.is_good] == []
