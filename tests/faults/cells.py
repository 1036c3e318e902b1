"""The table of faults: what is hurt, how, and how a cell is run and judged.

One cell: the product under load, at least ten faults, everything healed, every job ended, nothing found by the checker.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.evidence import Journal, read_lines
from tests.faults.invariants import Limits, check
from tests.faults.load import Load
from tests.faults.world import LEASE_SECONDS, OLD_AGENTS, REAL_AGENTS, WEBS, World
from tests.lanes.lane import MARIADB, SQLITE
from tests.waiting import until

LEAST_FAULTS = 10
FREEZE_SECONDS = 15.0
# A queue's time to live plays no part: agents are there. The longest: a lease, the sweeps' 30 s, and the backlog.
DRAIN_SECONDS = 150.0
# Between two jobs for the same agent, of which there are four. Faults that last leave a backlog.
_PAUSE_SECONDS = 0.6
_LONG_PAUSE_SECONDS = 1.5
_LEAST_SECONDS = 25.0
_AFTER_SECONDS = 3.0
_DISK_MEGABYTES = {SQLITE: 24, MARIADB: 180}


@dataclass(slots=True)
class Scene:
    """A cell while it runs. `measured` holds the moments from which recovery counts."""

    world: World
    load: Load
    journal: Journal
    landed: int = 0
    measured: list[float] = field(default_factory=list)

    @contextmanager
    def fault(self, component: str, kind: str, *, lasts: bool = False) -> Iterator[None]:
        """Write down a fault that lasts as long as the block. Recovery counts from its end if it lasts."""
        began = self.journal.note("fault", component=component, kind=kind)
        try:
            yield
        finally:
            ended = self.journal.note("healed", component=component, kind=kind)
        self.landed += 1
        self.measured.append(ended if lasts else began)

    def count(self, component: str, kind: str) -> None:
        """Write down a fault of a moment that has landed."""
        self.measured.append(self.journal.note("fault", component=component, kind=kind))
        self.journal.note("healed", component=component, kind=kind)
        self.landed += 1

    def pause(self, least: float, most: float) -> None:
        """Let the load go on for a while."""
        time.sleep(random.uniform(least, most))


Strike = Callable[[Scene], None]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a cell showed. `ends` counts the jobs by how they ended.

    `accepted_p99` and `started_p99`: seconds from a fault to the next success, 99 of 100.
    """

    cell: str
    lane: str
    items: int
    faults: int
    given_up: int
    ends: dict[str, int]
    violations: list[str]
    accepted_p99: float
    started_p99: float
    seconds: float

    @property
    def is_good(self) -> bool:
        """Tell whether the cell shows what it must."""
        # A product that lets everything expire breaks no promise and is of no use.
        useful = 2 * (self.ends.get("succeeded", 0) + self.ends.get("failed", 0)) > self.items
        return not self.violations and self.faults >= LEAST_FAULTS and not self.given_up and useful


# --- strikes


def _any_of(component: str) -> str:
    members = {"web": WEBS, "agent": REAL_AGENTS}.get(component, (component,))
    return random.choice(members)


def kill(component: str, least: float = 2.0, most: float = 4.0) -> Strike:
    """kill -9 of one process; the keeper starts it again. Old clients forget their job along with a real agent."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        part = scene.world.parts[name]
        until(lambda: part.is_alive, seconds=30)
        starts = part.starts
        with scene.fault(name, "kill -9"):
            scene.world.kill(name)
            if component == "agent":
                random.choice(scene.load.old_agents).crash()
            until(lambda: part.starts > starts, seconds=30)
        scene.pause(least, most)

    return strike


def freeze(component: str) -> Strike:
    """SIGSTOP for 15 s: longer than a lease."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "SIGSTOP", lasts=True):
            scene.world.freeze(name)
            time.sleep(FREEZE_SECONDS)
            scene.world.thaw(name)
        scene.pause(1.5, 3.0)

    return strike


def restart(component: str, *, down_seconds: float = 0.0, pause: tuple[float, float] = (2.0, 4.0)) -> Strike:
    """A polite end and a start, as at an upgrade."""

    def strike(scene: Scene) -> None:
        name = _any_of(component)
        with scene.fault(name, "restart", lasts=down_seconds > 0):
            scene.world.take_away(name)
            time.sleep(down_seconds)
            scene.world.bring_back(name)
        scene.pause(*pause)

    return strike


def flush_redis(scene: Scene) -> None:
    """FLUSHALL, every 3 s."""
    import redis

    with scene.fault("redis", "FLUSHALL"), redis.Redis.from_url(scene.world.redis_url) as client:
        client.flushall()
    time.sleep(3.0)


def start_without_redis(scene: Scene) -> None:
    """A web process or the worker starts while there is no Redis, and there is none for the whole load."""
    name = random.choice((*WEBS, "worker"))
    with scene.fault(name, "start without Redis"):
        scene.world.take_away(name)
        scene.world.bring_back(name)
    scene.pause(3.0, 5.0)


def hole(link: str) -> Strike:
    """A link that swallows everything for 15 s."""

    def strike(scene: Scene) -> None:
        proxy = scene.world.link if link == "agent-web" else scene.world.database_link
        assert proxy is not None
        swallowed = proxy.swallowed
        with scene.fault(f"link {link}", "black hole", lasts=True):
            proxy.open_hole()
            time.sleep(FREEZE_SECONDS)
            proxy.heal()
        assert proxy.swallowed > swallowed, "nothing was sent into the hole"
        scene.pause(2.0, 4.0)

    return strike


def half_open(link: str) -> Strike:
    """Every connection ends for its client, and the server is not told for some seconds."""

    def strike(scene: Scene) -> None:
        proxy = scene.world.link if link == "agent-web" else scene.world.database_link
        assert proxy is not None
        before = proxy.landed
        with scene.fault(f"link {link}", "half-open"):
            until(lambda: _half_open_some(proxy.half_open, lambda: proxy.landed > before), seconds=10)
            time.sleep(3.0)
            proxy.heal()
        scene.pause(1.0, 2.0)

    return strike


def _half_open_some(do: Callable[[], None], done: Callable[[], bool]) -> bool:
    do()
    return done()


def resets(link: str) -> Strike:
    """One piece of data in twenty is the last of its connection. Counted by the proxy."""

    def strike(scene: Scene) -> None:
        proxy = scene.world.link if link == "agent-web" else scene.world.database_link
        assert proxy is not None
        proxy.reset_some(0.05)
        _count_what_lands(scene, f"link {link}", "RST")

    return strike


def cut_commits(scene: Scene) -> None:
    """One COMMIT in ten reaches MariaDB, and the web never hears of it. Counted by the proxy."""
    assert scene.world.database_link is not None
    scene.world.database_link.cut_after_commit(0.1)
    _count_what_lands(scene, "link web-database", "cut after COMMIT")


def _count_what_lands(scene: Scene, component: str, kind: str) -> None:
    """Wait some seconds and take over what the proxies counted."""
    deadline = time.monotonic() + 3.0
    proxies = scene.world.proxies
    while time.monotonic() < deadline:
        before = sum(proxy.landed for proxy in proxies)
        time.sleep(0.2)
        for _ in range(sum(proxy.landed for proxy in proxies) - before):
            scene.count(component, kind)


def fill_disk(scene: Scene) -> None:
    """The disk of the database is full for 4 s."""
    filler = scene.world.folder / "data" / "filler"
    component = "mariadbd" if scene.world.mariadb is not None else "sqlite"
    with scene.fault(component, "disk full", lasts=True):
        full = 0
        deadline = time.monotonic() + 4.0
        while time.monotonic() < deadline:
            full += _fill(filler)
            time.sleep(0.1)
        filler.unlink()
    assert full, "the disk was never full"
    scene.pause(5.0, 7.0)


def _fill(path: Path) -> bool:
    """Take every byte that is left; tell whether the disk is full now."""
    try:
        with path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return True


def _take_redis_away(scene: Scene) -> None:
    scene.world.take_away("redis")


def everything_once(scene: Scene) -> None:
    """The short form: every kind that does not take long, one after the other."""
    soon = (0.3, 0.8)
    quick = [kill(part, *soon) for part in ("web", "worker", "agent", "redis", "beat", "web", "agent", "redis")]
    quick.append(kill("mariadbd" if scene.world.mariadb is not None else "worker", *soon))
    quick.append(restart("web", pause=soon))
    for strike in quick:
        strike(scene)


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
    Cell(name="redis absent", strike=start_without_redis, lasting=_take_redis_away),
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


# --- one cell


def run_cell(cell: Cell, *, lane: str, results: Path, least_seconds: float = _LEAST_SECONDS) -> Row:
    """Run a cell; leave logs and journals in `results`. Raises AssertionError where the product does not come back."""
    shutil.rmtree(results, ignore_errors=True)
    evidence = results / "evidence"
    evidence.mkdir(parents=True)
    began = time.monotonic()
    with ExitStack() as stack:
        # A short path: Unix sockets live in it.
        folder = Path(tempfile.mkdtemp(prefix="letserver-faults-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if cell.small_disk:
            stack.enter_context(_small_disk(folder / "data", megabytes=_DISK_MEGABYTES[lane]))
        world = World(folder, evidence, lane=lane, slow_link=cell.slow_link, slow_database=cell.slow_database)
        stack.callback(world.close, keep_logs_in=results / "logs")
        world.start()
        _tell(began, "the product runs")
        journal = Journal(evidence / "faults.jsonl")
        stack.callback(journal.close)
        load = Load(
            world.client_base,
            user_token=world.user_token,
            agents=world.agent_tokens,
            old=OLD_AGENTS,
            evidence=evidence,
            pause=cell.pause_seconds,
        )
        scene = Scene(world, load, journal)
        time.sleep(2.0)
        if cell.lasting is not None:
            journal.note("fault", component=cell.name, kind="lasting")
            cell.lasting(scene)
        enough = time.monotonic() + least_seconds
        while scene.landed < LEAST_FAULTS or time.monotonic() < enough:
            cell.strike(scene)
        _tell(began, f"{scene.landed} faults have landed")
        world.heal()
        # What comes after the last fault tells how long it took to recover from it.
        time.sleep(_AFTER_SECONDS)
        if cell.lasting is not None:
            journal.note("healed", component=cell.name, kind="lasting")
        given_up = load.stop_submitting()
        left = _wait_until_all_ended(world)
        load.stop()
        _tell(began, "every job has ended" if not left else f"{len(left)} jobs have not ended")
        world.stop_server()
        violations = [f"I2 {job_id}: {status}, {DRAIN_SECONDS:.0f} s after the last fault" for job_id, status in left]
        connection = world.connect()
        cursor = connection.cursor()
        cursor.execute("SELECT status, count(*) FROM jobs_job GROUP BY status")
        ends = {str(status): int(count) for status, count in cursor.fetchall()}
        found = check(evidence, connection, limits=Limits(lease=LEASE_SECONDS))
        violations += [str(violation) for violation in found]
        _keep_timelines(connection, {violation.job_id for violation in found} | dict(left).keys(), results)
        connection.close()
        _keep_database(world, results)
        row = Row(
            cell=cell.name,
            lane=lane,
            items=load.accepted,
            faults=scene.landed,
            given_up=given_up,
            ends=ends,
            violations=violations,
            accepted_p99=_recovery(scene.measured, _accepted(evidence)),
            started_p99=_recovery(scene.measured, _started(evidence)),
            seconds=time.monotonic() - began,
        )
    (results / "row.json").write_text(json.dumps(asdict(row), ensure_ascii=False, indent=1), encoding="utf-8")
    return row


def _tell(began: float, what: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s: {what}", flush=True)


def _wait_until_all_ended(world: World) -> list[tuple[str, str]]:
    """Return what has not ended in time."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := world.unfinished_jobs()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return left


def _keep_timelines(connection: Any, job_ids: set[str], results: Path) -> None:
    """Keep the events of the jobs that something is wrong with."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT e.job_id, e.number, e.at, e.move, e.before, e.after, e.actor, e.text FROM jobs_jobevent e"
        " ORDER BY e.job_id, e.number"
    )
    lines = [" ".join(map(str, row)) for row in cursor.fetchall() if row[0] in job_ids]
    (results / "timelines.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _keep_database(world: World, results: Path) -> None:
    """Keep SQLite's file for whoever wants to know what happened."""
    if world.mariadb is None:
        connection = world.connect()
        connection.execute("VACUUM INTO ?", (str(results / "letserver.sqlite3"),))
        connection.close()


def _accepted(evidence: Path) -> list[float]:
    lines = read_lines(evidence, "submit-*.jsonl")
    return [line["t"] for line in lines if line["status"] is not None and 200 <= line["status"] < 300]


def _started(evidence: Path) -> list[float]:
    lines = read_lines(evidence, "runs.jsonl") + read_lines(evidence, "old-*.jsonl")
    return sorted(line["t"] for line in lines if line["do"] == "started")


def _recovery(faults: list[float], successes: list[float]) -> float:
    """Return the time from a fault to the first success after it that 99 of 100 faults do not pass."""
    waits = sorted(min((t for t in successes if t > fault), default=float("inf")) - fault for fault in faults)
    return waits[min(len(waits) - 1, int(len(waits) * 0.99))] if waits else 0.0


@contextmanager
def _small_disk(folder: Path, *, megabytes: int) -> Iterator[None]:
    """Mount a small disk of memory there."""
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", str(folder)], check=True)
    try:
        yield
    finally:
        # Lazily: a process that was just killed may still be going.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def why_not(cell: Cell, lane: str) -> str:
    """Return "" or why this machine cannot run the cell on this lane."""
    if lane not in cell.lanes:
        return "there is no such thing with SQLite"
    if not cell.small_disk:
        return ""
    if os.geteuid() != 0:
        return "a small disk is mounted by root only"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _small_disk(Path(folder, "probe"), megabytes=1):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "no disk can be mounted here"


def describe(row: Row) -> str:
    """Return the table's line."""
    p99 = "  ".join(f"{value:6.1f}" for value in (row.accepted_p99, row.started_p99))
    ends = ", ".join(f"{count} {status}" for status, count in sorted(row.ends.items(), key=lambda end: -end[1]))
    verdict = "" if row.is_good else "  FAILED"
    return (
        f"{row.cell:<30} {row.lane:<8} {row.items:>6} {row.faults:>7} {len(row.violations):>11}  {p99}"
        f"  {row.seconds:6.0f}  {ends}{verdict}"
    )


HEAD = (
    f"{'cell':<30} {'lane':<8} {'items':>6} {'faults':>7} {'violations':>11}"
    f"  {'taken':>6}  {'begun':>6}  {'took':>6}   p99 of seconds until a job is taken, a command begun"
)
