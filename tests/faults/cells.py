"""The table of faults: what is hurt, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.cell_checks import answers_while_slow, lost_claims, progress_while_slow, replays
from tests.faults.injections import (
    Scene,
    Strike,
    cut_commits,
    everything_once,
    fill_disk,
    flush_redis,
    freeze,
    half_open,
    hole,
    kill,
    lose_claims,
    replay_puts,
    resets,
    restart,
    slow,
    start_without_redis,
    take_redis_away,
)
from tests.lanes.lane import MARIADB, SQLITE

LEAST_FAULTS = 10
# Between two jobs for the same agent, of which there are four. Faults that last leave a backlog.
_PAUSE_SECONDS = 0.6
_LONG_PAUSE_SECONDS = 2.5

Judge = Callable[[Scene, Any], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A fault by name. `strike` makes it happen at least once, waits as long as it lasts, and counts it.

    `submitters`: for each agent. `judge` returns what is wrong beyond the invariants.
    """

    name: str
    strike: Strike
    lanes: tuple[str, ...] = (SQLITE, MARIADB)
    slow_link: bool = False
    slow_database: bool = False
    small_disk: bool = False
    lasting: Strike | None = None
    pause_seconds: float = _PAUSE_SECONDS
    submitters: int = 1
    least_faults: int = LEAST_FAULTS
    judge: Judge | None = None


_MARIADB_ONLY = (MARIADB,)
CELLS = (
    *(Cell(name=f"{part} kill -9", strike=kill(part)) for part in ("web", "worker", "beat", "redis", "agent")),
    Cell(name="mariadbd kill -9", strike=kill("mariadbd", 1.0, 2.0), lanes=_MARIADB_ONLY, least_faults=50),
    *(
        Cell(name=f"{part} SIGSTOP", strike=freeze(part), pause_seconds=_LONG_PAUSE_SECONDS)
        for part in ("web", "worker", "beat", "redis", "agent")
    ),
    Cell(
        name="mariadbd SIGSTOP",
        strike=freeze("mariadbd"),
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
    ),
    *(Cell(name=f"{part} restart", strike=restart(part)) for part in ("web", "worker", "beat", "agent")),
    Cell(name="mariadbd restart", strike=restart("mariadbd"), lanes=_MARIADB_ONLY),
    Cell(name="redis empty restart", strike=restart("redis", down_seconds=2.0)),
    Cell(name="redis FLUSHALL", strike=flush_redis),
    Cell(name="redis absent", strike=start_without_redis, lasting=take_redis_away),
    Cell(name="link agent-web black hole", strike=hole("agent-web"), slow_link=True, pause_seconds=_LONG_PAUSE_SECONDS),
    Cell(name="link agent-web RST", strike=resets("agent-web"), slow_link=True),
    Cell(name="link agent-web half-open", strike=half_open("agent-web"), slow_link=True),
    Cell(name="link agent-web latency", strike=slow("agent-web"), slow_link=True, judge=progress_while_slow),
    Cell(name="answer of a claim lost", strike=lose_claims, slow_link=True, least_faults=200, judge=lost_claims),
    Cell(name="PUT replayed", strike=replay_puts, slow_link=True, least_faults=100, judge=replays),
    Cell(
        name="link web-database black hole",
        strike=hole("web-database"),
        slow_database=True,
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
    ),
    Cell(name="link web-database RST", strike=resets("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    Cell(name="link web-database half-open", strike=half_open("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    *(
        Cell(
            name=name,
            strike=strike,
            slow_database=True,
            lanes=_MARIADB_ONLY,
            pause_seconds=_LONG_PAUSE_SECONDS,
            submitters=4,
            judge=judge,
        )
        for name, strike, judge in (
            ("slow COMMIT", slow("web-database", commits_only=True), progress_while_slow),
            ("link web-database latency", slow("web-database"), answers_while_slow),
        )
    ),
    Cell(
        name="cut after COMMIT",
        strike=cut_commits,
        slow_database=True,
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
        least_faults=500,
    ),
    Cell(name="disk full", strike=fill_disk, small_disk=True),
)
SHORT = Cell(name="everything once", strike=everything_once)
