"""At the start: take up the jobs that the last run of the agent left. docs/agent.md has the table of cases."""

from __future__ import annotations

from dataclasses import dataclass

from skadi.beat import Beat
from skadi.job import Job, read_stored_job
from skadi.journal import Journal, Stage
from skadi.log import log
from skadi.report_writer import ReportWriter
from skadi.reporter import Reporter


@dataclass(frozen=True)
class Leftovers:
    """Work for the executor: jobs whose shims still run, and jobs that were stored and have not started."""

    running: tuple[Job, ...]
    unstarted: tuple[Job, ...]


def recover(journal: Journal, beat: Beat, reporter: Reporter, writer: ReportWriter) -> Leftovers:
    """Report the jobs that ended meanwhile, deliver stored reports, and return what is left to do.

    A folder that causes an unexpected error is logged and stays; the next start tries it again.
    """
    running: list[Job] = []
    unstarted: list[Job] = []
    for job_id in journal.job_ids():
        try:
            stage = journal.stage(job_id)
            if stage is Stage.DELIVERED or job_id in journal.done:
                continue
            job = read_stored_job(journal.read(job_id, "job.json")) or Job(job_id, "")
            if stage is Stage.UNSTARTED:
                unstarted.append(job)
                continue
            beat.add(job)  # until the server has the report, it waits for us
            if stage is Stage.RUNNING:
                running.append(job)
            elif stage is Stage.REPORTED:
                reporter.add(job_id, journal.read(job_id, "report.json") or {})
            else:
                writer.report_run(job)
        except Exception:
            log.exception("job cannot be taken up", extra={"job": job_id})
    return Leftovers(tuple(running), tuple(unstarted))
