"""Runs one cell: the product under load, at least ten faults, recovery, the end of every job, and the checker."""

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
from tests.faults.product import LEASE_SECONDS, OLD_AGENTS, Product
from tests.lanes.lane import MARIADB, SQLITE

# After its time to live a job is done or expired; a lease and a sweep can follow.
DRAIN_SECONDS = TTL_SECONDS + 40.0
_LEAST_SECONDS = 25.0
_AFTER_SECONDS = 3.0
_DISK_MEGABYTES = {SQLITE: 24, MARIADB: 180}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of a cell. `ends` counts the jobs by their final status.

    `written`: 2xx answers to submitters and old clients; `lost`: the ones that are not in the database. `accepted_p99`
    and `started_p99`: seconds from a fault to the next success, 99th percentile.
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
        """Whether the cell had enough faults, no violation, and no lost write."""
        # A product that lets every job expire violates nothing, but is useless.
        useful = 2 * (self.ends.get("succeeded", 0) + self.ends.get("failed", 0)) > self.items
        return (
            not self.violations and not self.lost and self.faults >= self.least_faults and not self.given_up and useful
        )


def run_cell(cell: Cell, *, lane: str, results: Path, least_seconds: float = _LEAST_SECONDS) -> Row:
    """Run a cell; keep logs and journals in `results`. Raises AssertionError if the product does not recover."""
    shutil.rmtree(results, ignore_errors=True)
    evidence = results / "evidence"
    evidence.mkdir(parents=True)
    began = time.monotonic()
    with ExitStack() as stack:
        # Paths of Unix sockets must be short.
        folder = Path(tempfile.mkdtemp(prefix="letserver-faults-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if cell.small_disk:
            stack.enter_context(small_disk(folder / "data", megabytes=_DISK_MEGABYTES[lane]))
        product = Product(folder, evidence, lane=lane, slow_link=cell.slow_link, slow_database=cell.slow_database)
        stack.callback(product.close, keep_logs_in=results / "logs")
        product.start()
        _tell(began, "the product runs")
        journal = Journal(evidence / "faults.jsonl")
        stack.callback(journal.close)
        load = Load(
            product.client_base,
            user_token=product.user_token,
            agents=product.agent_tokens,
            old=OLD_AGENTS,
            evidence=evidence,
            pause=cell.pause_seconds,
            submitters=cell.submitters,
        )
        scene = Scene(product, load, journal)
        time.sleep(2.0)
        if cell.lasting is not None:
            journal.note("fault", component=cell.name, kind="lasting")
            cell.lasting(scene)
        enough = time.monotonic() + least_seconds
        while scene.landed < cell.least_faults or time.monotonic() < enough:
            cell.inject(scene)
        _tell(began, f"{scene.landed} faults have landed")
        product.heal()
        # Recovery from the last fault is measured too.
        time.sleep(_AFTER_SECONDS)
        if cell.lasting is not None:
            journal.note("healed", component=cell.name, kind="lasting")
        given_up = load.stop_submitting()
        left = _wait_until_all_ended(product)
        load.stop()
        _tell(began, "every job has ended" if not left else f"{len(left)} jobs have not ended")
        product.stop_server()
        violations = [f"I2 {job_id}: {status}, {DRAIN_SECONDS:.0f} s after the last fault" for job_id, status in left]
        connection = product.connect()
        cursor = connection.cursor()
        cursor.execute("SELECT status, count(*) FROM jobs_job GROUP BY status")
        ends = {str(status): int(count) for status, count in cursor.fetchall()}
        found = check(evidence, connection, limits=Limits(lease=LEASE_SECONDS))
        violations += [str(violation) for violation in found]
        violations += cell.check(scene, connection) if cell.check is not None else []
        written, lost = count_writes(scene, connection)
        _keep_timelines(connection, {violation.job_id for violation in found} | dict(left).keys(), results)
        connection.close()
        _keep_database(product, results)
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


def _wait_until_all_ended(product: Product) -> list[tuple[str, str]]:
    """Return (id, status) of the jobs that have not ended in time."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := product.unfinished_jobs()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return left


def _keep_timelines(connection: Any, job_ids: set[str], results: Path) -> None:
    """Write the events of jobs with violations to `timelines.txt`."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT e.job_id, e.number, e.at, e.move, e.before, e.after, e.actor, e.text FROM jobs_jobevent e"
        " ORDER BY e.job_id, e.number"
    )
    lines = [" ".join(map(str, row)) for row in cursor.fetchall() if row[0] in job_ids]
    (results / "timelines.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _keep_database(product: Product, results: Path) -> None:
    """Keep SQLite's file for inspection."""
    if product.mariadb is None:
        connection = product.connect()
        connection.execute("VACUUM INTO ?", (str(results / "letserver.sqlite3"),))
        connection.close()


def _accepted(evidence: Path) -> list[float]:
    lines = read_lines(evidence, "submit-*.jsonl")
    return [line["t"] for line in lines if line["status"] is not None and 200 <= line["status"] < 300]


def _started(evidence: Path) -> list[float]:
    lines = read_lines(evidence, "runs.jsonl") + read_lines(evidence, "old-*.jsonl")
    return sorted(line["t"] for line in lines if line["do"] == "started")


def _recovery(faults: list[float], successes: list[float]) -> float:
    """Return the 99th percentile of the time from a fault to the first success after it."""
    waits = sorted(min((t for t in successes if t > fault), default=float("inf")) - fault for fault in faults)
    return waits[min(len(waits) - 1, int(len(waits) * 0.99))] if waits else 0.0


def why_not(cell: Cell, lane: str) -> str:
    """Return why this machine cannot run the cell on this lane, or ""."""
    if lane not in cell.lanes:
        return "there is no such thing with SQLite"
    return why_no_disk() if cell.small_disk else ""


def describe(row: Row) -> str:
    """Return the table's line, with remarks and violations below it."""
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
