"""Commands about jobs: a line for an agent sends one; `jobs`, `job ID` and `job cancel ID` show and cancel them."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from agents.services.find import find_agent
from chat.commands.registry import Call, Command, Line, Reply
from chat.commands.words import phrases
from jobs.life.cancel import cancel_job
from jobs.life.listing import BY_TIME, JobFilter, list_jobs
from jobs.life.read import read_job
from jobs.life.submit import Submission, submit_jobs
from jobs.models import MESSAGE_LENGTH, Job, JobOutput
from jobs.order import JobOrder
from jobs.states import JobStatus
from kernel.errors import InvalidAgent, InvalidMessage, NotFound
from kernel.keyset import newest_first
from kernel.text import RESULT_CHARACTERS, cut
from kernel.transactions import named_transaction, run_one
from kernel.visible import visible_line, visible_text
from notifications.messages.actions import Choice, find_action, note_action, take_action

_JOB = ("job", "任务")
_LISTED, _LISTED_MOST = 5, 20
_LINE_CHARACTERS = 30
_SHORT_ID = 6
_SHORTEST_ID = 4
_LOOKED_AT = 200

SIGNS = {
    JobStatus.QUEUING: "🕘",
    JobStatus.SENT: "🌀",
    JobStatus.RUNNING: "🌀",
    JobStatus.SUCCEEDED: "🟩",
    JobStatus.FAILED: "🟥",
    JobStatus.EXPIRED: "⌛",
    JobStatus.CANCELED: "⬜",
}


def short_id(job: Job) -> str:
    """Return the end of a job's id, which a person types. The beginning is a time and similar in many jobs."""
    return str(job.pk)[-_SHORT_ID:]


def send_job(line: Line, owner: User, called: str, text: str, *, confirmed: bool = False) -> Reply:
    """Send a text to the agent that `called` names.

    `confirmed`: the agent asked before, and its owner said yes. Raises AgentNotFound if the first word names no agent,
    InvalidAgent if the agent cannot take a job now.
    """
    agent = find_agent(viewer=owner, called=called)
    if not text:
        return Reply(
            text=_("What should %(agent)s do? “%(agent)s help” asks it what it takes.") % {"agent": agent.name}
        )
    if len(text) > MESSAGE_LENGTH:
        raise InvalidMessage(_("A job has at most %(limit)s characters."), params={"limit": MESSAGE_LENGTH})
    if not agent.enabled:
        raise InvalidAgent(_("⬜ %(agent)s is disabled. Enable it in the console."), params={"agent": agent.name})
    if not agent.online:
        raise InvalidAgent(
            _("🟥 %(agent)s is offline. Start it and send the line again."), params={"agent": agent.name}
        )
    submission = Submission(
        owner_id=line.owner_id,
        actor=line.actor,
        order=JobOrder(
            agent=agent.pk, message=text, source=line.source, params={"confirmed": True} if confirmed else {}
        ),
        idempotency_key=f"chat:{line.message_id}" if line.message_id else None,
    )
    job = run_one(submit_jobs, submission)
    return Reply(text=_("🕘 Waiting for %(agent)s to take it. #%(id)s") % {"agent": agent.name, "id": short_id(job)})


def take_numbered_action(line: Line, owner: User, number: int, mark: str = "") -> Reply | None:
    """Send the job of that number in a message that was delivered in this chat; None if none offers the number.

    `mark` chooses the message. Raises NotFound and InvalidRequest as `find_action` does. If the job cannot be sent, the
    action stays open.
    """
    choice = Choice(owner_id=owner.pk, number=number, mark=mark, identity_id=line.identity_id)
    if find_action(choice) is None:
        return None
    with named_transaction("choice"):
        taken = take_action(choice)
        if taken is None:
            return None
        reply = send_job(line, owner, taken.agent, taken.text)
        note_action(owner.pk, taken)
    return Reply(text=f"{taken.words}\n{reply.text}")


def run_list(call: Call) -> Reply:
    """Show the newest jobs."""
    wanted = call.words[0] if call.words else ""
    size = min(int(wanted), _LISTED_MOST) if wanted.isdecimal() and int(wanted) else _LISTED
    page = list_jobs(viewer=call.owner, wanted=JobFilter(), size=size)
    if not page.items:
        return Reply(text=_("No jobs yet. Write the name of an agent and what it should do."))
    return Reply(text="\n".join(_job_line(job) for job, _output in page.items))


def show_job(call: Call) -> Reply:
    """Show one job and the beginning of its output."""
    whole = read_job(owner_id=call.owner.pk, job_id=_find(call).pk)
    shown = [_job_line(whole.job), whole.job.get_status_display(), _output(whole.output)]
    return Reply(text="\n".join(filter(None, shown)))


def run_cancel(call: Call) -> Reply:
    """Cancel a job, or ask its agent to stop it."""
    job = cancel_job(owner_id=call.owner.pk, job_id=_find(call).pk, actor=call.line.actor)
    if job.status == JobStatus.CANCELED:
        return Reply(text=_("⬜ Canceled. #%(id)s") % {"id": short_id(job)})
    return Reply(text=_("I have asked its agent to stop it. #%(id)s") % {"id": short_id(job)})


def _find(call: Call) -> Job:
    """Return the job whose id ends with the typed number, among the person's newest jobs."""
    wanted = call.words[0].lstrip("#＃").lower()
    ids = Job.objects.visible_to(call.owner).order_by(*newest_first(BY_TIME)).values_list("pk", flat=True)[:_LOOKED_AT]
    found = [pk for pk in ids if pk.endswith(wanted)] if len(wanted) >= _SHORTEST_ID else []
    if not found:
        raise NotFound(_("None of your last jobs has that number. “jobs” lists them."))
    if len(found) > 1:
        count = len(found)
        raise NotFound(
            ngettext(
                "%(count)s job has a number that ends like this. Write more of it.",
                "%(count)s jobs have a number that ends like this. Write more of it.",
                count,
            ),
            params={"count": count},
        )
    return Job.objects.visible_to(call.owner).get(pk=found[0])


def _job_line(job: Job) -> str:
    text = visible_line(job.message)
    shown = text if len(text) <= _LINE_CHARACTERS else cut(text, _LINE_CHARACTERS - 1, "characters") + "…"
    return f"{SIGNS[JobStatus(job.status)]} {job.agent.name if job.agent else '–'} {shown} #{short_id(job)}"


def _output(output: JobOutput | None) -> str:
    return cut(visible_text(output.result), RESULT_CHARACTERS, "characters") if output else ""


COMMANDS = (
    Command(
        phrases=("jobs", "任务列表"),
        usage=gettext_lazy("jobs [HOW MANY] – your last jobs"),
        summary=gettext_lazy("🕘 waits, 🌀 runs, 🟩 succeeded, 🟥 failed, ⌛ expired, ⬜ canceled."),
        run=run_list,
        words=(0, 1),
    ),
    Command(
        phrases=_JOB,
        usage=gettext_lazy("job NUMBER – one job and its output"),
        summary=gettext_lazy("“jobs” shows the number after the #."),
        run=show_job,
        words=(1, 1),
    ),
    Command(
        phrases=(*phrases(_JOB, ("cancel", "取消")), "cancel", "取消"),
        usage=gettext_lazy("job cancel NUMBER – cancel a job"),
        summary=gettext_lazy("If it runs already, its agent stops it."),
        run=run_cancel,
        words=(1, 1),
    ),
)
