"""Jobs at the console: send, watch, run again, list; and the way of a newcomer."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from dataclasses import replace

import pytest
from django.test import Client

from accounts.credentials import Principal, TokenKind
from accounts.models import User
from agents.models import Agent
from agents.services.manage import AgentChange, delete_agent, update_agent
from jobs.api.reading import read_submission
from jobs.console.presentation import curl_command
from jobs.console.views import PAGE_SIZE
from jobs.life.log import append_log
from jobs.life.report import ReportKind
from jobs.life.submit import order_again, submit_jobs
from jobs.models import Job, Queue
from jobs.order import JobOrder
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.ids import new_id
from kernel.transactions import run_one
from tests.console.pages import text_of
from tests.factories import claim, make_agent, make_job, make_job_in, report

pytestmark = pytest.mark.django_db


@pytest.fixture
def box(alice: User) -> Agent:
    """Alice's agent, online."""
    return make_agent(owner=alice, name="box")


def test_a_sent_job_has_its_page(box: Agent, at_alice: Client) -> None:
    response = at_alice.post("/console/jobs/send", {"agent": box.pk, "message": "a\r\nb", "key": new_id()})
    job = Job.objects.get()
    assert response.headers["Location"] == f"/console/jobs/{job.pk}"
    assert (job.message, job.source, job.agent_id, job.expires_at) == ("a\nb", "console", box.pk, None)


def test_a_form_sent_twice_makes_one_job(box: Agent, at_alice: Client) -> None:
    values = {"agent": box.pk, "message": "date", "key": new_id()}
    places = {at_alice.post("/console/jobs/send", values).headers["Location"] for _ in range(2)}
    assert len(places) == Job.objects.count() == 1


def test_a_form_sent_again_with_another_text_is_asked_about(box: Agent, at_alice: Client) -> None:
    values = {"agent": box.pk, "message": "date", "key": new_id()}
    at_alice.post("/console/jobs/send", values)
    response = at_alice.post("/console/jobs/send", values | {"message": "uptime"})
    assert response.status_code == 400
    assert "sent before with another text" in text_of(response)
    key = re.search(r'name="key" value="([^"]+)"', text_of(response))
    assert key is not None
    again = at_alice.post("/console/jobs/send", values | {"message": "uptime", "key": key[1]})
    assert again.status_code == 302
    assert Job.objects.count() == 2


def test_an_offline_agent_gets_a_job_only_if_it_may_wait(alice: User, at_alice: Client) -> None:
    away = make_agent(owner=alice, name="away", online=False)
    refused = at_alice.post("/console/jobs/send", {"agent": away.pk, "message": "date", "key": new_id()})
    assert refused.status_code == 400
    assert "away is offline or disabled" in text_of(refused)
    assert ">\ndate</textarea>" in text_of(refused)
    values = {"agent": away.pk, "message": "date", "key": new_id(), "wait": "3600"}
    assert at_alice.post("/console/jobs/send", values).status_code == 302
    job = Job.objects.get()
    assert job.expires_at is not None
    assert round((job.expires_at - job.created_at).total_seconds()) == 3600


@pytest.mark.parametrize("change", [{"message": " "}, {"message": "x" * 4097}, {"agent": "other"}, {"wait": "1"}])
def test_a_wrong_form_is_shown_again(change: dict[str, str], box: Agent, at_alice: Client) -> None:
    values = {"agent": box.pk, "message": "date", "key": new_id()} | change
    response = at_alice.post("/console/jobs/send", values)
    assert response.status_code == 400
    assert 'class="errors"' in text_of(response)
    assert not Job.objects.exists()


def test_another_s_agent_cannot_be_chosen(box: Agent, at_charlie: Client) -> None:
    response = at_charlie.post("/console/jobs/send", {"agent": box.pk, "message": "date", "key": new_id()})
    assert response.status_code == 400
    assert not Job.objects.exists()


def test_a_disabled_agent_is_no_choice(alice: User, box: Agent, at_alice: Client) -> None:
    update_agent(agent=box, change=AgentChange(enabled=False), actor="test")
    assert "There is no agent that could take a job" in text_of(at_alice.get("/console/jobs/send"))


def test_run_again_makes_a_new_job_of_the_same_text(box: Agent, at_alice: Client) -> None:
    job = make_job(box, "uptime")
    at_alice.post(f"/console/jobs/{job.pk}/again", {"key": new_id()})
    assert sorted(Job.objects.values_list("message", "agent_id")) == [("uptime", box.pk)] * 2


def test_run_again_and_curl_keep_every_option(box: Agent, at_alice: Client) -> None:
    queue = Queue.objects.create(
        owner=box.owner, name="q", agent=box, state="paused", created_at=database_now(), updated_at=database_now()
    )
    order = {
        "queue": "q", "argv": ["date", "a b"], "task": "T", "priority": 4, "distinct_key": "one", "rate_key": "r",
        "retry": 2, "backoff": [3], "idempotent": True, "ttl": 500, "callback": "disable",
        "notify": {"when": "failure"}, "then": [{"on": "success", "agent": box.pk, "message": "ls"}],
    }  # fmt: skip
    principal = Principal(kind=TokenKind.USER, owner_id=box.owner_id, digest="", scope="jobs")
    job = run_one(submit_jobs, read_submission(order, principal=principal, idempotency_key=None))
    page = text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    assert "Change and send" not in page
    assert "The job waits in its queue." in page
    for name in order.keys() - {"queue", "argv"}:
        assert f"<code>{name}</code>" in page
    words = shlex.split(curl_command(job, order_again(job, now=database_now())).replace("\\\n", ""))
    sent = json.loads(words[-1])
    assert sent | {"notify": None} == order | {"notify": None}
    assert sent["notify"]["when"] == "failure"
    Job.objects.filter(pk=job.pk).update(distinct_slot=None, status=JobStatus.FAILED)
    assert at_alice.post(f"/console/jobs/{job.pk}/again", {"key": new_id()}).status_code == 302
    again = Job.objects.exclude(pk=job.pk).get()
    assert (again.queue_id, again.agent_id) == (queue.pk, job.agent_id)
    assert replace(JobOrder.of(again), source=job.source) == JobOrder.of(job)


def test_run_again_has_the_retries_of_the_first_attempt_and_no_confirmation(box: Agent, at_alice: Client) -> None:
    first = make_job(box, "uptime", retries=2)
    Job.objects.filter(pk=first.pk).update(params={"confirmed": True}, retries=2)
    second = make_job(box, "uptime", retries=1)
    Job.objects.filter(pk=second.pk).update(root_id=first.pk, attempt=2)
    at_alice.post(f"/console/jobs/{second.pk}/again", {"key": new_id()})
    again = Job.objects.exclude(pk__in=[first.pk, second.pk]).get()
    assert (again.retries, again.attempt, again.params) == (2, 1, None)


def test_cancel_ends_a_waiting_job_and_asks_the_agent_of_a_running_one(box: Agent, at_alice: Client) -> None:
    waiting, running = make_job(box), make_job(box)
    Job.objects.filter(pk=running.pk).update(active_at=waiting.active_at - dt.timedelta(seconds=9))
    assert claim(box) == running
    for job in (waiting, running):
        assert "Cancel this job" in text_of(at_alice.get(f"/console/jobs/{job.pk}"))
        assert at_alice.post(f"/console/jobs/{job.pk}/cancel").status_code == 302
    waiting.refresh_from_db()
    running.refresh_from_db()
    assert waiting.status == JobStatus.CANCELED
    assert running.cancel_requested_at is not None
    page = text_of(at_alice.get(f"/console/jobs/{running.pk}"))
    assert "You asked to cancel this job" in page
    assert "Cancel this job" not in page


def test_cancel_of_a_job_that_has_ended_says_so(box: Agent, at_alice: Client) -> None:
    job = make_job(box)
    claim(box)
    report(box, job, ReportKind.SUCCEED, "x")
    page = at_alice.post(f"/console/jobs/{job.pk}/cancel", follow=True)
    assert "already finished" in text_of(page)


def test_a_running_job_shows_what_it_prints(box: Agent, at_alice: Client) -> None:
    job = make_job(box)
    claim(box)
    append_log(agent_id=box.pk, job_id=job.pk, offset=0, text="<b>building</b>\n")
    assert "&lt;b&gt;building&lt;/b&gt;" in text_of(at_alice.get(f"/console/jobs/{job.pk}"))


def test_run_again_of_a_deleted_agent_says_why_not(box: Agent, at_alice: Client) -> None:
    job = make_job(box, "uptime")
    delete_agent(agent=box, actor="test", force=True)
    assert "Run again" not in text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    response = at_alice.post(f"/console/jobs/{job.pk}/again", {"key": new_id()})
    assert response.status_code == 400
    assert Job.objects.count() == 1


@pytest.mark.parametrize("status", JobStatus)
def test_the_page_of_a_job_follows_it_until_its_end(status: JobStatus, alice: User, at_alice: Client) -> None:
    job = make_job_in(status, make_agent(owner=alice))
    page = text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    ended = status in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED, JobStatus.CANCELED)
    assert f"pill-{status}" in page
    assert ('hx-trigger="every 1s"' in page) == ('http-equiv="refresh"' in page) == (not ended)
    fragment = text_of(at_alice.get(f"/console/jobs/{job.pk}", headers={"HX-Request": "true"}))
    assert ('hx-trigger="every 1s"' in fragment) == (not ended)


def test_the_page_tells_output_exit_code_and_timeline(box: Agent, at_alice: Client) -> None:
    job = make_job(box, "uptime")
    claim(box)
    report(box, job, ReportKind.RUNNING, "half way")
    report(box, job, ReportKind.SUCCEED, "up 3 days")
    page = text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    for word in ("up 3 days", "half way", "submitted", "taken by the agent", "progress", "finished", "box"):
        assert word in page


def test_a_long_output_is_shortened_on_the_page_and_whole_in_the_download(box: Agent, at_alice: Client) -> None:
    job = make_job(box)
    claim(box)
    report(box, job, ReportKind.SUCCEED, "x" * 300_000)
    page = text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    assert len(page) < 100_000
    assert "The page shows a part" in page
    assert len(at_alice.get(f"/console/jobs/{job.pk}/output.txt").content) == 300_000


def test_a_long_timeline_is_shown_without_its_middle(box: Agent, at_alice: Client) -> None:
    job = make_job(box)
    claim(box)
    for number in range(120):
        report(box, job, ReportKind.RUNNING, f"step {number};")
    page = text_of(at_alice.get(f"/console/jobs/{job.pk}"))
    assert "22 lines left out" in page
    assert "step 0;" in page
    assert "step 119;" in page
    assert "step 30;" not in page


def test_a_job_without_output_has_no_download(box: Agent, at_alice: Client) -> None:
    assert at_alice.get(f"/console/jobs/{make_job(box).pk}/output.txt").status_code == 404


def test_the_list_is_paged_both_ways_without_loss_or_doubles(box: Agent, at_alice: Client) -> None:
    made = [make_job(box, f"job-{number};").pk for number in range(2 * PAGE_SIZE + 5)]
    first = at_alice.get("/console/jobs")
    seen = [job.pk for job, _took in first.context["rows"]]
    page = first
    while page.context["part"].older:
        page = at_alice.get("/console/jobs", {"before": page.context["part"].older})
        seen += [job.pk for job, _took in page.context["rows"]]
    assert seen == made[::-1]
    back = at_alice.get("/console/jobs", {"after": page.context["part"].newer})
    assert [job.pk for job, _took in back.context["rows"]] == made[5 : PAGE_SIZE + 5][::-1]
    newest = at_alice.get("/console/jobs", {"after": back.context["part"].newer})
    assert [job.pk for job, _took in newest.context["rows"]] == made[PAGE_SIZE + 5 :][::-1]


def test_the_list_is_filtered_by_status_and_agent(alice: User, box: Agent, at_alice: Client) -> None:
    other = make_agent(owner=alice)
    done = make_job_in(JobStatus.SUCCEEDED, other)
    here, there = make_job(box), make_job(other)
    assert _ids(at_alice, agent=box.pk) == [here.pk]
    assert _ids(at_alice, agent=other.pk) == [there.pk, done.pk]
    assert _ids(at_alice, status="succeeded") == [done.pk]
    assert _ids(at_alice, status="succeeded", agent=box.pk) == []
    assert _ids(at_alice, status="nonsense", before="nonsense") == [there.pk, here.pk, done.pk]


def test_the_list_asks_the_database_no_more_with_more_jobs(
    box: Agent, at_alice: Client, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    for _ in range(PAGE_SIZE):
        make_job(box)
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        at_alice.get("/console/jobs")
    with django_assert_max_num_queries(9):  # type: ignore[operator]
        at_alice.get("/console/")


def _ids(client: Client, **wanted: str) -> list[str]:
    return [job.pk for job, _took in client.get("/console/jobs", wanted).context["rows"]]


def test_a_newcomer_is_led_in_three_steps_until_the_first_success(alice: User, at_alice: Client) -> None:
    assert "Add an agent and start it on your machine." in text_of(at_alice.get("/console/"))
    away = make_agent(owner=alice, online=False)
    assert "None of your agents is online." in text_of(at_alice.get("/console/"))
    box = make_agent(owner=alice, name="box")
    page = text_of(at_alice.get("/console/"))
    assert "box waits for jobs." in page
    assert f'name="agent" value="{box.pk}"' in page
    assert 'name="message" value="date"' in page
    job = make_job(box)
    assert "To your last job" in text_of(at_alice.get("/console/"))
    claim(box)
    report(box, job, ReportKind.SUCCEED, "now")
    assert "first-steps" not in text_of(at_alice.get("/console/"))
    assert away.pk != box.pk
