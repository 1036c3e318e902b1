"""The writer: batches, refusals, a hanging database, orderly stops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from jobs.gateway import batch as batch_module
from jobs.gateway import writer as writer_module
from jobs.gateway.batch import CLAIM, REPORT, SUBMIT, Write, WriteKind
from jobs.gateway.writer import Writer
from jobs.life.claim import Claim
from jobs.life.report import Report, ReportKind
from jobs.life.submit import Submission
from jobs.models import Job, JobOutput
from jobs.states import JobStatus
from jobs.transitions import Output
from kernel.errors import AgentNotFound, AppError, IdempotencyMismatch, Unavailable
from tests.factories import make_agent, make_job, make_job_in, order_job, submission
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def with_writer(work: Callable[[Writer], Awaitable[object]]) -> object:
    """Run `work` with a started writer, then stop the writer."""

    async def run() -> object:
        writer = Writer()
        writer.start()
        try:
            return await work(writer)
        finally:
            await writer.stop()

    return asyncio.run(run())


def _submit_at_once(submissions: Sequence[Submission]) -> Any:
    """Return the outcomes of submissions that reach the writer together."""
    return with_writer(lambda writer: _all(*(writer.write(SUBMIT, one) for one in submissions)))


async def _all(*waiting: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*waiting, return_exceptions=True)


def test_many_at_once_share_transactions_and_all_are_stored() -> None:
    agent = make_agent()
    submissions = [submission(agent, str(number)) for number in range(300)]
    by = time.monotonic() + 30
    jobs = with_writer(lambda writer: _all(*(writer.write(SUBMIT, one, by=by) for one in submissions)))
    assert [job.pk for job in jobs] == [one.job_id for one in submissions]  # type: ignore[attr-defined]
    assert Job.objects.count() == 300


def test_a_whole_life_goes_through_one_writer() -> None:
    agent = make_agent()

    async def live(writer: Writer) -> None:
        job = await writer.write(SUBMIT, submission(agent))
        assert await writer.write(CLAIM, Claim(agent_id=agent.pk)) == job
        done = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text="ok"))
        await writer.write(REPORT, done)

    with_writer(live)
    assert Job.objects.get().status == JobStatus.SUCCEEDED


def test_an_error_of_one_is_raised_to_that_one_only() -> None:
    agent = make_agent()
    wrong = order_job(agent.owner_id, "x", agent="nobody")
    outcomes = _submit_at_once([submission(agent), wrong, submission(agent)])
    assert [type(outcome) for outcome in outcomes] == [Job, AgentNotFound, Job]  # type: ignore[attr-defined]


def test_a_row_that_the_database_refuses_fails_alone() -> None:
    """A text that passed the checks breaks its batch; the batch is retried item by item."""
    agent = make_agent()
    submissions = [submission(agent, str(number)) for number in range(20)]
    submissions[7] = submission(agent, "\ud800")
    outcomes = _submit_at_once(submissions)
    kinds = [type(outcome) for outcome in outcomes]  # type: ignore[attr-defined]
    assert kinds == [Job] * 7 + [AppError] + [Job] * 12
    assert Job.objects.count() == 19


def test_two_writers_that_race_for_one_key_make_one_job() -> None:
    """Sixteen attempts over two writers on their own connections, like two web processes."""
    agent = make_agent()
    keys = [f"key-{number}" for number in range(20)]
    outcomes: list[object] = []
    gate = threading.Barrier(2)

    def race() -> None:
        async def work(writer: Writer) -> list[object]:
            gate.wait(5)
            submissions = [submission(agent, idempotency_key=key) for key in keys for _ in range(8)]
            by = time.monotonic() + 30  # A batch that lost a race runs item by item, so allow it time.
            return await _all(*(writer.write(SUBMIT, one, by=by) for one in submissions))

        outcomes.extend(with_writer(work))  # type: ignore[arg-type]

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 2 * len(keys) * 8
    assert {type(outcome) for outcome in outcomes} == {Job}
    assert Job.objects.count() == len({job.pk for job in outcomes}) == len(keys)  # type: ignore[attr-defined]


def test_a_key_reused_for_another_body_is_a_mismatch() -> None:
    agent = make_agent()
    submissions = [submission(agent, text, idempotency_key="k") for text in ("one", "two")]
    outcomes = _submit_at_once(submissions)
    assert [type(outcome) for outcome in outcomes] == [Job, IdempotencyMismatch]  # type: ignore[attr-defined]


@contextmanager
def _blocked_database(statement: str = "") -> Iterator[Callable[[], None]]:
    """Hold a lock on the jobs, or the lock of `statement`, in another connection; the callable releases it."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        other = connections.create_connection("default")
        try:
            with other.cursor() as cursor:
                cursor.execute("BEGIN IMMEDIATE" if other.vendor == "sqlite" else "BEGIN")
                if statement:
                    cursor.execute(statement)
                elif other.vendor != "sqlite":
                    cursor.execute(f"LOCK TABLES {Job._meta.db_table} WRITE")
                held.set()
                let_go.wait(30)
                cursor.execute("ROLLBACK")
                if other.vendor != "sqlite":
                    cursor.execute("UNLOCK TABLES")
        finally:
            other.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        yield let_go.set
    finally:
        let_go.set()
        thread.join(10)


def test_a_hanging_database_is_answered_unavailable_before_old_clients_time_out() -> None:
    agent = make_agent()
    make_job(agent)

    async def work(writer: Writer) -> None:
        loop = asyncio.get_running_loop()
        with _blocked_database() as let_go:
            began = loop.time()
            outcomes = await _all(
                writer.write(SUBMIT, submission(agent)), writer.write(CLAIM, Claim(agent_id=agent.pk))
            )
            assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
            assert loop.time() - began < 3
            let_go()
        # It serves again, and the job of the abandoned claim is not lost.
        deadline = loop.time() + 10
        job = None
        while job is None and loop.time() < deadline:
            [job] = await _all(writer.write(CLAIM, Claim(agent_id=agent.pk)))
            job = job if isinstance(job, Job) else None
        assert job is not None

    with_writer(work)


def test_a_claim_whose_caller_gave_up_is_put_back() -> None:
    agent = make_agent()
    job = make_job(agent)

    async def work(writer: Writer) -> None:
        waiting = asyncio.ensure_future(writer.write(CLAIM, Claim(agent_id=agent.pk)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    with_writer(work)
    until(lambda: Job.objects.get().status == JobStatus.QUEUING)
    assert Job.objects.get() == job
    moves = list(job.events.order_by("number").values_list("move", flat=True))
    assert moves in (["submit"], ["submit", "claim", "reoffer"])


def test_a_full_queue_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "QUEUE_LIMIT", 0)
    agent = make_agent()
    (outcome,) = with_writer(lambda writer: _all(writer.write(SUBMIT, submission(agent))))  # type: ignore[misc]
    assert isinstance(outcome, Unavailable)
    assert outcome.retry_after_seconds == 1


def test_a_stopping_writer_finishes_its_queue() -> None:
    agent = make_agent()

    async def run() -> list[object]:
        writer = Writer()
        writer.start()
        waiting = [asyncio.ensure_future(writer.write(SUBMIT, submission(agent))) for _ in range(50)]
        await asyncio.sleep(0)
        await writer.stop()
        refused = await _all(writer.write(SUBMIT, submission(agent)))
        return [*await _all(*waiting), *refused]

    *stored, refused = asyncio.run(run())
    assert {type(outcome) for outcome in stored} == {Job}
    assert isinstance(refused, Unavailable)
    assert Job.objects.count() == 50


def test_large_reports_do_not_fail_their_batch() -> None:
    """Together they exceed the maximum packet, and every byte of them must be escaped."""
    agent = make_agent()
    jobs = [make_job_in(JobStatus.SENT, agent) for _ in range(20)]

    async def work(writer: Writer) -> list[object]:
        text = "\\" * 1_000_000
        reports = [
            Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text=text)) for job in jobs
        ]
        by = time.monotonic() + 60
        waiting = [writer.write(REPORT, report, by=by) for report in reports]
        return await _all(*waiting, *(writer.write(SUBMIT, submission(agent), by=by) for _ in range(5)))

    outcomes = with_writer(work)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 20 + [Job] * 5  # type: ignore[attr-defined]
    assert JobOutput.objects.filter(size_bytes=1_000_000).count() == 20


def test_a_report_is_written_even_if_its_caller_no_longer_waits() -> None:
    """Old agents report once: the report is kept even if its answer is not read."""
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)

    async def work(writer: Writer) -> None:
        report = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output(text="x"))
        with pytest.raises(Unavailable):
            await writer.write(REPORT, report, by=time.monotonic() - 1)

    with_writer(work)
    assert Job.objects.get().status == JobStatus.SUCCEEDED


@pytest.mark.mariadb_only
def test_a_locked_row_fails_only_its_own_request() -> None:
    agent = make_agent()
    job = make_job_in(JobStatus.SENT, agent)

    async def work(writer: Writer) -> list[object]:
        report = Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.SUCCEED, output=Output())
        with _blocked_database(f"SELECT id FROM {Job._meta.db_table} WHERE id = '{job.pk}' FOR UPDATE"):
            submissions = [submission(agent, str(number)) for number in range(20)]
            by = time.monotonic() + 10  # The batch waits a second for the row, then the others continue without it.
            return await _all(writer.write(REPORT, report), *(writer.write(SUBMIT, one, by=by) for one in submissions))

    outcomes = with_writer(work)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] + [Job] * 20  # type: ignore[attr-defined]


@pytest.mark.mariadb_only
def test_a_dead_connection_is_replaced() -> None:
    """The server closes the writer's connection between two requests; the next request succeeds."""
    agent = make_agent()
    mine = connection.connection.thread_id()

    async def work(writer: Writer) -> None:
        await writer.write(SUBMIT, submission(agent))
        await asyncio.to_thread(_kill_other_connections, mine)
        await writer.write(SUBMIT, submission(agent))

    with_writer(work)
    assert Job.objects.count() == 2


def _kill_other_connections(spared: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id NOT IN (CONNECTION_ID(), %s)",
            [spared],
        )
        killed = [row[0] for row in cursor.fetchall()]
        assert killed
        for number in killed:
            cursor.execute(f"KILL {number}")
    connection.close()


def _lose_the_news(monkeypatch: pytest.MonkeyPatch, *names: str, kind: WriteKind[Any, Any]) -> list[str]:
    """Cut the connection after each COMMIT of a batch that contains a `kind`; return the names of the cut ones."""
    cut: list[str] = []

    def lose(name: str, run: Callable[[Sequence[Write]], list[object]]) -> Callable[[Sequence[Write]], list[object]]:
        def committed_and_cut(items: Sequence[Write]) -> list[object]:
            outcomes = run(items)
            if any(item.kind is kind for item in items):
                cut.append(name)
                raise OperationalError(2013, "Lost connection during query")
            return outcomes

        return committed_and_cut

    for name in names:
        monkeypatch.setattr(batch_module, name, lose(name, getattr(batch_module, name)))
    return cut


def test_a_commit_whose_answer_was_lost_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is committed, its answer lost, and retried: each item finds its first result."""
    agent = make_agent()
    for _ in range(3):
        make_job(agent)
    cut = [
        _lose_the_news(monkeypatch, "_together", kind=SUBMIT),
        _lose_the_news(monkeypatch, "_together", kind=CLAIM),
        _lose_the_news(monkeypatch, "_together", kind=REPORT),
    ]

    async def work(writer: Writer) -> None:
        one = submission(agent)
        assert (await writer.write(SUBMIT, one)).pk == one.job_id
        job = await writer.write(CLAIM, Claim(agent_id=agent.pk))
        assert job is not None
        await writer.write(
            REPORT, Report(agent_id=agent.pk, job_id=job.pk, kind=ReportKind.FAIL, output=Output(text="x"))
        )

    with_writer(work)
    assert cut == [["_together"]] * 3
    statuses = sorted(Job.objects.values_list("status", flat=True))
    assert statuses == [JobStatus.FAILED, JobStatus.QUEUING, JobStatus.QUEUING, JobStatus.QUEUING]


def test_a_claim_without_any_answer_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent()
    job = make_job(agent)
    cut = _lose_the_news(monkeypatch, "_together", "_one_by_one", kind=CLAIM)

    async def work(writer: Writer) -> None:
        with pytest.raises(Unavailable):
            await writer.write(CLAIM, Claim(agent_id=agent.pk))

    with_writer(work)
    assert cut == ["_together", "_one_by_one", "_one_by_one"]
    assert list(job.events.order_by("number").values_list("move", flat=True)) == ["submit", "claim", "reoffer"]
    assert Job.objects.get().status == JobStatus.QUEUING
