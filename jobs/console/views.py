"""Pages about jobs: the overview, the list, one job and its output, sending."""

from __future__ import annotations

from dataclasses import replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.models import User
from accounts.pages import console_page
from agents.models import Agent
from jobs.clocks.progress import ticks_silent_since
from jobs.clocks.skew import clocks_that_are_off
from jobs.console.forms import JobFilterForm, SendForm
from jobs.console.presentation import (
    curl_command,
    fits_form,
    shown_options,
    shown_output,
    timeline,
    took,
    with_durations,
)
from jobs.life.cancel import cancel_job
from jobs.life.listing import BY_TIME
from jobs.life.log import read_tail
from jobs.life.read import read_job
from jobs.life.submit import Submission, order_again, submit_jobs
from jobs.models import Job
from jobs.order import JobOrder
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.errors import AppError, IdempotencyMismatch, InvalidAgent, JobFinished, NotFound
from kernel.ids import new_id
from kernel.keyset import newest_first, slice_of
from kernel.transactions import run_one
from kernel.visible import visible_text
from notifications.models import Channel

PAGE_SIZE = 30
_SOURCE = "console"
_OVERVIEW_JOBS = 8
_OVERVIEW_AGENTS = 6
_AGENT_JOBS = 5
_COUNT_LIMIT = 1000
_LOOK_BACK = 100


@console_page("GET")
def overview(request: HttpRequest, user: User) -> HttpResponse:
    """Show what goes on, and to a newcomer the way to the first result."""
    agents = list(Agent.objects.visible_to(user).order_by("-online", "-enabled", "name"))
    jobs = Job.objects.visible_to(user)
    last = list(jobs.select_related("agent").order_by(*newest_first(BY_TIME))[:_OVERVIEW_JOBS])
    online = [agent for agent in agents if agent.online and agent.enabled]
    first = online[0] if online else None
    latest = list(jobs.order_by(*newest_first(BY_TIME)).values_list("status", flat=True)[:_LOOK_BACK])
    newcomer = not jobs.filter(status=JobStatus.SUCCEEDED).exists()
    context = {
        "agents": agents[:_OVERVIEW_AGENTS],
        "agents_count": len(agents),
        "online_count": len(online),
        "open_count": (jobs.waiting() | jobs.active())[:_COUNT_LIMIT].count(),
        "failed_count": latest.count(JobStatus.FAILED),
        "looked_at_count": len(latest),
        "rows": with_durations(last),
        "newcomer": newcomer,
        "clocks_off": clocks_that_are_off() if user.is_staff else [],
        "silent_since": ticks_silent_since() if user.is_staff else None,
        "channels_off": Channel.objects.visible_to(user).switched_off().count(),
        "first_agent": first,
        "last_job": last[0] if last else None,
        "form": _send_form(user, initial={"agent": first.pk if first else "", "message": "date" if newcomer else ""}),
    }
    template = "jobs/_overview.html" if request.headers.get("HX-Request") else "jobs/overview.html"
    return render(request, template, context)


@console_page("GET")
def job_list(request: HttpRequest, user: User) -> HttpResponse:
    """List jobs, newest first, all or those of a status and an agent."""
    agents = Agent.objects.visible_to(user).order_by("name")
    form = JobFilterForm(request.GET, agents=agents)
    form.is_valid()
    status, agent = form.cleaned_data.get("status", ""), form.cleaned_data.get("agent", "")
    rows = Job.objects.visible_to(user).select_related("agent")
    rows = rows.filter(status=status) if status else rows
    rows = rows.filter(agent_id=agent) if agent else rows
    part = slice_of(
        rows, before=request.GET.get("before", ""), after=request.GET.get("after", ""), size=PAGE_SIZE, by=BY_TIME
    )
    context = {
        "form": form,
        "filter": {"status": status, "agent": agent},
        "rows": with_durations(part.rows),
        "part": part,
    }
    return render(request, "jobs/job_list.html", context)


@console_page("GET")
def job_detail(request: HttpRequest, user: User, job_id: str) -> HttpResponse:
    """Show one job; while it has not ended htmx asks again every second for the part that changes."""
    whole = read_job(owner_id=user.pk, job_id=job_id)
    order = order_again(whole.job, now=database_now())
    context = {
        "job": whole.job,
        "options": shown_options(order),
        "fits_form": fits_form(order),
        "took": took(whole.job),
        "steps": timeline(whole),
        "output": shown_output(whole.output),
        "log": "" if whole.output else visible_text(read_tail(job_id)),
        "curl": curl_command(whole.job, order),
        "key": new_id(),
    }
    template = "jobs/_job.html" if request.headers.get("HX-Request") else "jobs/job_detail.html"
    return render(request, template, context)


@console_page("GET")
def job_output(request: HttpRequest, user: User, job_id: str) -> HttpResponse:
    """Download what is kept of a job's output, as it came."""
    output = read_job(owner_id=user.pk, job_id=job_id).output
    if output is None:
        raise NotFound
    answer = HttpResponse(output.text, content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="job-{output.pk}.txt"'
    return answer


@console_page("GET", "POST")
def job_send(request: HttpRequest, user: User) -> HttpResponse:
    """Send a job and go to its page. The form shows what is wrong with it."""
    if request.method != "POST":
        initial = {name: request.GET[name] for name in ("agent", "message") if name in request.GET}
        return _send_page(request, _send_form(user, initial=initial))
    form = _send_form(user, data=request.POST)
    if form.is_valid():
        values = form.cleaned_data
        order = JobOrder(agent=values["agent"], message=values["message"], source=_SOURCE, ttl_seconds=form.ttl_seconds)
        outcome = _submit(user, order, key=values["key"])
        if isinstance(outcome, Job):
            return redirect("console:job", outcome.pk)
        if isinstance(outcome, IdempotencyMismatch):
            form.data = {**request.POST.dict(), "key": new_id()}
        form.add_error(None, _sentence(outcome))
    return _send_page(request, form, status=400)


@console_page("POST")
def job_again(request: HttpRequest, user: User, job_id: str) -> HttpResponse:
    """Order the same job again, with all of its options."""
    job = read_job(owner_id=user.pk, job_id=job_id).job
    key = request.POST.get("key") or new_id()
    order = replace(order_again(job, now=database_now()), source=_SOURCE)
    outcome = _submit(user, order, key=key[:64])
    if isinstance(outcome, Job):
        return redirect("console:job", outcome.pk)
    messages.error(request, _sentence(outcome))
    if not fits_form(order):
        return redirect("console:job", job_id)
    form = _send_form(user, initial={"agent": job.agent_id or "", "message": job.message})
    return _send_page(request, form, status=400)


@console_page("POST")
def job_cancel(request: HttpRequest, user: User, job_id: str) -> HttpResponse:
    """Take a job back and show it; one that ended meanwhile is simply shown."""
    try:
        cancel_job(owner_id=user.pk, job_id=job_id, actor=f"user:{user.pk}")
    except JobFinished as error:
        messages.info(request, error.message)
    return redirect("console:job", job_id)


@require_GET
def root(request: HttpRequest) -> HttpResponse:
    """Lead from `/` to the console."""
    return redirect("console:overview")


def last_jobs(user: User, agent: Agent) -> list[tuple[Job, object]]:
    """Return the rows for the page of an agent."""
    rows = Job.objects.visible_to(user).filter(agent=agent).select_related("agent").order_by(*newest_first(BY_TIME))
    return [*with_durations(list(rows[:_AGENT_JOBS]))]


def _submit(user: User, order: JobOrder, *, key: str) -> Job | AppError:
    submission = Submission(owner_id=user.pk, actor=f"user:{user.pk}", order=order, idempotency_key=f"console:{key}")
    try:
        return run_one(submit_jobs, submission)
    except AppError as error:
        return error


def _sentence(error: AppError) -> str:
    """Say what is wrong in words of the form, where the API's words would name its fields."""
    match error:
        case InvalidAgent():
            text = _("%(name)s is offline or disabled. Start it, or choose below how long the job may wait for it.")
            return text % {"name": error.params.get("name", "")}
        case IdempotencyMismatch():
            return _("This form was sent before with another text. Send it again to make a new job.")
        case _:
            return error.message


def _send_form(user: User, *, data: QueryDict | None = None, initial: dict[str, str] | None = None) -> SendForm:
    agents = Agent.objects.visible_to(user).usable().order_by("-online", "name")
    return SendForm(data, agents=agents, initial=initial)


def _send_page(request: HttpRequest, form: SendForm, *, status: int = 200) -> HttpResponse:
    return render(request, "jobs/job_send.html", {"form": form}, status=status)
