"""The table of faults: the component, the fault, and the lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.cell_checks import answers_while_slow, lost_claims, progress_while_slow, replays
from tests.faults.injections import (
    Injection,
    Scene,
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
# The pause between two jobs for one of the four agents. Faults that last leave a backlog and need a longer one.
_PAUSE_SECONDS = 0.6
_LONG_PAUSE_SECONDS = 2.5

Check = Callable[[Scene, Any], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A fault by name. `inject` injects it at least once, waits until it is over, and counts it.

    `submitters`: how many for each agent. `check` returns violations beyond the invariants.
    """

    name: str
    inject: Injection
    lanes: tuple[str, ...] = (SQLITE, MARIADB)
    slow_link: bool = False
    slow_database: bool = False
    small_disk: bool = False
    lasting: Injection | None = None
    pause_seconds: float = _PAUSE_SECONDS
    submitters: int = 1
    least_faults: int = LEAST_FAULTS
    check: Check | None = None


_MARIADB_ONLY = (MARIADB,)
CELLS = (
    *(Cell(name=f"{part} kill -9", inject=kill(part)) for part in ("web", "worker", "beat", "redis", "agent")),
    Cell(name="mariadbd kill -9", inject=kill("mariadbd", 1.0, 2.0), lanes=_MARIADB_ONLY, least_faults=50),
    *(
        Cell(name=f"{part} SIGSTOP", inject=freeze(part), pause_seconds=_LONG_PAUSE_SECONDS)
        for part in ("web", "worker", "beat", "redis", "agent")
    ),
    Cell(
        name="mariadbd SIGSTOP",
        inject=freeze("mariadbd"),
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
    ),
    *(Cell(name=f"{part} restart", inject=restart(part)) for part in ("web", "worker", "beat", "agent")),
    Cell(name="mariadbd restart", inject=restart("mariadbd"), lanes=_MARIADB_ONLY),
    Cell(name="redis empty restart", inject=restart("redis", down_seconds=2.0)),
    Cell(name="redis FLUSHALL", inject=flush_redis),
    Cell(name="redis absent", inject=start_without_redis, lasting=take_redis_away),
    Cell(name="link agent-web black hole", inject=hole("agent-web"), slow_link=True, pause_seconds=_LONG_PAUSE_SECONDS),
    Cell(name="link agent-web RST", inject=resets("agent-web"), slow_link=True),
    Cell(name="link agent-web half-open", inject=half_open("agent-web"), slow_link=True),
    Cell(name="link agent-web latency", inject=slow("agent-web"), slow_link=True, check=progress_while_slow),
    Cell(name="answer of a claim lost", inject=lose_claims, slow_link=True, least_faults=200, check=lost_claims),
    Cell(name="PUT replayed", inject=replay_puts, slow_link=True, least_faults=100, check=replays),
    Cell(
        name="link web-database black hole",
        inject=hole("web-database"),
        slow_database=True,
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
    ),
    Cell(name="link web-database RST", inject=resets("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    Cell(name="link web-database half-open", inject=half_open("web-database"), slow_database=True, lanes=_MARIADB_ONLY),
    *(
        Cell(
            name=name,
            inject=inject,
            slow_database=True,
            lanes=_MARIADB_ONLY,
            pause_seconds=_LONG_PAUSE_SECONDS,
            submitters=4,
            check=check,
        )
        for name, inject, check in (
            ("slow COMMIT", slow("web-database", commits_only=True), progress_while_slow),
            ("link web-database latency", slow("web-database"), answers_while_slow),
        )
    ),
    Cell(
        name="cut after COMMIT",
        inject=cut_commits,
        slow_database=True,
        lanes=_MARIADB_ONLY,
        pause_seconds=_LONG_PAUSE_SECONDS,
        least_faults=500,
    ),
    Cell(name="disk full", inject=fill_disk, small_disk=True),
)
SHORT = Cell(name="everything once", inject=everything_once)
