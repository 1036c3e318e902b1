"""The table of faults: what is hurt, and how."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.strikes import (
    Strike,
    cut_commits,
    everything_once,
    fill_disk,
    flush_redis,
    freeze,
    half_open,
    hole,
    kill,
    resets,
    restart,
    start_without_redis,
    take_redis_away,
)
from tests.lanes.lane import MARIADB, SQLITE

# Between two jobs for the same agent, of which there are four. Faults that last leave a backlog.
_PAUSE_SECONDS = 0.6
_LONG_PAUSE_SECONDS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A fault by name. `strike` makes it happen at least once, waits as long as it lasts, and counts it."""

    name: str
    strike: Strike
    lanes: tuple[str, ...] = (SQLITE, MARIADB)
    slow_link: bool = False
    slow_database: bool = False
    small_disk: bool = False
    lasting: Strike | None = None
    pause_seconds: float = _PAUSE_SECONDS


_MARIADB_ONLY = (MARIADB,)
CELLS = (
    *(Cell(name=f"{part} kill -9", strike=kill(part)) for part in ("web", "worker", "beat", "redis", "agent")),
    Cell(name="mariadbd kill -9", strike=kill("mariadbd", 3.0, 5.0), lanes=_MARIADB_ONLY),
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
    *(Cell(name=f"{part} restart", strike=restart(part)) for part in ("web", "agent")),
    Cell(name="redis empty restart", strike=restart("redis", down_seconds=2.0)),
    Cell(name="redis FLUSHALL", strike=flush_redis),
    Cell(name="redis absent", strike=start_without_redis, lasting=take_redis_away),
    Cell(name="link agent-web black hole", strike=hole("agent-web"), slow_link=True, pause_seconds=_LONG_PAUSE_SECONDS),
    Cell(name="link agent-web RST", strike=resets("agent-web"), slow_link=True),
    Cell(name="link agent-web half-open", strike=half_open("agent-web"), slow_link=True),
    Cell(
        name="link web-database black hole",
        strike=hole("web-database"),
        slow_database=True,
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
    ),
    Cell(name="link web-database RST", strike=resets("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    Cell(name="link web-database half-open", strike=half_open("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    Cell(name="cut after COMMIT", strike=cut_commits, slow_database=True, lanes=_MARIADB_ONLY),
    Cell(name="disk full", strike=fill_disk, small_disk=True),
)
SHORT = Cell(name="everything once", strike=everything_once)
