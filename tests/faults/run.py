"""One cell: the product under load, at least ten faults, everything healed, every job ended, nothing found."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.disks import small_disk, why_no_disk
from tests.faults.cell_checks import count_writes
from tests.faults.cells import LEAST_FAULTS, Cell
from tests.faults.injections import Scene
from tests.faults.invariants import Limits, check
from tests.faults.journal import Journal, read_lines
from tests.faults.load import TTL_SECONDS, Load
from tests.faults.product import LEASE_SECONDS, OLD_AGENTS, World
from tests.lanes.lane import MARIADB, SQLITE

# The backlog is served or its time to live is over; then the longest is a lease and a sweep.
DRAIN_SECONDS = TTL_SECONDS + 40.0
_LEAST_SECONDS = 25.0
_AFTER_SECONDS = 3.0
_DISK_MEGABYTES = {SQLITE: 24, MARIADB: 180}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a cell showed. `ends` counts the jobs by how they ended.

    `written`: answers of 2xx to submitters and old clients; `lost`: those of them of which the database knows nothing.
    `accepted_p99` and `started_p99`: seconds from a fault to the next success, 99 of 100.
    """

    cell: str
    lane: str
    items: int
    written: int
    lost: int
    faults: int
    least_faults: int
    given_up: int
    ends: dict[str, int]
    violations: list[str]
    accepted_p99: float
    started_p99: float
    seconds: float
    remarks: list[str]

    @property
    def is_good(self) -> bool:
        """Tell whether the cell shows what it must."""
        # A product that lets everything expire breaks no promise and is of no use.
        useful = 2 * (self.ends.get("succeeded", 0) + self.ends.get("failed", 0)) > self.items
        return (
            not self.violations and not self.lost and self.faults >= self.least_faults and not self.given_up and useful
        )


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
            stack.enter_context(small_disk(folder / "data", megabytes=_DISK_MEGABYTES[lane]))
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
            submitters=cell.submitters,
        )
        scene = Scene(world, load, journal)
        time.sleep(2.0)
        if cell.lasting is not None:
            journal.note("fault", component=cell.name, kind="lasting")
            cell.lasting(scene)
        enough = time.monotonic() + least_seconds
        while scene.landed < cell.least_faults or time.monotonic() < enough:
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
        violations += cell.judge(scene, connection) if cell.judge is not None else []
        written, lost = count_writes(scene, connection)
        _keep_timelines(connection, {violation.job_id for violation in found} | dict(left).keys(), results)
        connection.close()
        _keep_database(world, results)
        row = Row(
            cell=cell.name,
            lane=lane,
            items=load.accepted,
            written=written,
            lost=lost,
            faults=scene.landed,
            least_faults=cell.least_faults,
            given_up=given_up,
            ends=ends,
            violations=violations,
            accepted_p99=_recovery(scene.measured, _accepted(evidence)),
            started_p99=_recovery(scene.measured, _started(evidence)),
            seconds=time.monotonic() - began,
            remarks=scene.remarks,
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


def why_not(cell: Cell, lane: str) -> str:
    """Return "" or why this machine cannot run the cell on this lane."""
    if lane not in cell.lanes:
        return "there is no such thing with SQLite"
    return why_no_disk() if cell.small_disk else ""


def describe(row: Row) -> str:
    """Return the table's line, and what else there is to say."""
    p99 = "  ".join(f"{value:6.1f}" for value in (row.accepted_p99, row.started_p99))
    ends = ", ".join(f"{count} {status}" for status, count in sorted(row.ends.items(), key=lambda end: -end[1]))
    verdict = "" if row.is_good else "  FAILED"
    line = (
        f"{row.cell:<30} {row.lane:<8} {row.items:>6} {row.written:>8} {row.lost:>5} {row.faults:>7}"
        f" {len(row.violations):>11}  {p99}  {row.seconds:6.0f}  {ends}{verdict}"
    )
    words = f"{row.faults} faults: acknowledged writes {row.written}, lost writes {row.lost}"
    remarks = [words, *row.remarks] if row.least_faults > LEAST_FAULTS else row.remarks
    return "\n    ".join([line, *remarks, *row.violations[:20]])


HEAD = (
    f"{'cell':<30} {'lane':<8} {'items':>6} {'written':>8} {'lost':>5} {'faults':>7} {'violations':>11}"
    f"  {'taken':>6}  {'begun':>6}  {'took':>6}   p99 of seconds until a job is taken, a command begun"
)
