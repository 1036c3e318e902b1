"""`schedule …`: jobs that come again and again: made, looked at, paused, started by hand, removed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from agents.services.find import find_agent
from chat.commands.jobs import SIGNS, short_id
from chat.commands.registry import Call, Command, Reply
from chat.commands.words import folded, phrases
from jobs.models import MESSAGE_LENGTH, Job, Schedule, ScheduleRun
from jobs.order import OrderChange
from jobs.schedules.cron.schedule import Cron, InvalidSchedule
from jobs.schedules.jobs import run_now
from jobs.schedules.preview import preview_schedule
from jobs.schedules.service import (
    ScheduleFields,
    ScheduleFilter,
    create_schedule,
    delete_schedule,
    find_schedule,
    list_runs,
    list_schedules,
    pause_schedule,
    resume_schedule,
)
from jobs.states import JobStatus
from kernel.clock import database_now
from kernel.durations import parse_duration
from kernel.errors import AgentNotFound, InvalidMessage, InvalidRequest

_SCHEDULE = ("schedule", "定时")
_LISTED = 20
_SHOWN_RUNS = 3
_QUOTES = {'"': '"', "'": "'", "“": "”", "「": "」"}
_LONGEST_EXPRESSION = 7


def run_list(call: Call) -> Reply:
    """Show the schedules, the newest first."""
    page = list_schedules(viewer=call.owner, wanted=ScheduleFilter(), size=_LISTED)
    if not page.rows:
        return Reply(text=_("No schedules yet. “schedule add NAME 0 8 * * * AGENT TEXT” runs a job at eight each day."))
    lines = [_line(row) for row in page.rows]
    if page.older:
        lines.append(_("and more"))
    return Reply(text="\n".join(lines))


def show_schedule(call: Call) -> Reply:
    """Show one schedule: when it runs and its last result; without a name all of them."""
    if not call.words:
        return run_list(call)
    schedule = _the_schedule(call)
    lines = [_line(schedule), schedule.message]
    try:
        preview = preview_schedule(schedule)
    except InvalidSchedule as error:
        lines.append(error.message)
    else:
        lines.append(preview.cron.sentence(_language()))
        if schedule.enabled:
            lines += [_("next: %(time)s") % {"time": _clock(run, preview.cron)} for run in preview.runs[:_SHOWN_RUNS]]
    runs = list_runs(schedule, size=1).rows
    return Reply(text="\n".join([*lines, *(_last(run, schedule) for run in runs)]))


def run_add(call: Call) -> Reply:
    """Make a schedule: its name, a cron expression, an agent, what it should do."""
    name, said = call.words[0], _read(call)
    if len(said.text) > MESSAGE_LENGTH:
        raise InvalidMessage(_("A job has at most %(limit)s characters."), params={"limit": MESSAGE_LENGTH})
    order = OrderChange({"agent": said.agent, "message": said.text})
    fields = ScheduleFields(name=name, cron=said.cron, order=order)
    schedule = create_schedule(owner_id=call.owner.pk, fields=fields, actor=call.line.actor)
    cron = preview_schedule(schedule).cron
    words = {"name": schedule.name, "time": _clock(schedule.next_at, cron) if schedule.next_at else "–"}
    return Reply(text=cron.sentence(_language()) + "\n" + _("⏰ %(name)s runs next at %(time)s.") % words)


def run_pause(call: Call) -> Reply:
    """Pause a schedule, for a while or until it is resumed."""
    schedule = _the_schedule(call)
    if len(call.words) == 1:
        pause_schedule(schedule=schedule)
        return Reply(text=_("⏸ %(name)s is off until you resume it.") % {"name": schedule.name})
    until = database_now() + parse_duration(folded(call.words[1]))
    pause_schedule(schedule=schedule, until=until)
    zone = ZoneInfo(settings.TIME_ZONE)
    words = {"name": schedule.name, "time": f"{until.astimezone(zone):%Y-%m-%d %H:%M:%S}"}
    return Reply(text=_("⏸ %(name)s is paused until %(time)s.") % words)


def run_resume(call: Call) -> Reply:
    """Let a schedule run again."""
    schedule = resume_schedule(schedule=_the_schedule(call))
    cron = preview_schedule(schedule).cron
    words = {"name": schedule.name, "time": _clock(schedule.next_at, cron) if schedule.next_at else "–"}
    return Reply(text=_("⏰ %(name)s runs next at %(time)s.") % words)


def run_by_hand(call: Call) -> Reply:
    """Start a schedule's job now."""
    key = f"chat:{call.line.message_id}" if call.line.message_id else None
    run = run_now(_the_schedule(call), actor=call.line.actor, key=key)
    job = Job.objects.get(pk=run.job_id)
    return Reply(text=_("🕘 Started by hand. #%(id)s") % {"id": short_id(job)})


def run_delete(call: Call) -> Reply:
    """Remove a schedule."""
    schedule = _the_schedule(call)
    delete_schedule(schedule=schedule)
    return Reply(text=_("%(name)s is deleted.") % {"name": schedule.name})


def warn_delete(call: Call) -> str:
    """Ask before a schedule and what is known of its runs are gone."""
    return _("The schedule %(name)s is deleted, with what is known of its runs.") % {"name": _the_schedule(call).name}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    cron: str
    agent: str
    text: str


def _read(call: Call) -> _Said:
    """Part an expression from the agent and the text behind it.

    In quotes it ends with them. `@every 5m` and `@daily` are words of their own. Else it has seven, six or five fields:
    as many as can be read and have an agent's name behind them.
    """
    words = call.words[1:]
    if words[0][0] in _QUOTES:
        inside, quote, after = " ".join(words)[1:].partition(_QUOTES[words[0][0]])
        if quote:
            return _said(call, inside, after.split())
    if words[0].startswith("@"):
        length = 2 if folded(words[0]) == "@every" else 1
        return _said(call, " ".join(words[:length]), words[length:])
    unknown: AgentNotFound | None = None
    for length in (_LONGEST_EXPRESSION, 6, 5):
        expression, behind = " ".join(words[:length]), words[length:]
        if len(behind) < 2 or not _is_cron(expression):
            continue
        try:
            find_agent(viewer=call.owner, called=behind[0])
        except AgentNotFound as error:
            unknown = unknown or error
            continue
        return _said(call, expression, behind)
    if unknown is not None:
        raise unknown
    # Says what is wrong with the five fields, if it can be read at all.
    Cron.parse(" ".join(words[:5]), timezone=settings.TIME_ZONE)
    raise InvalidRequest(_("Behind the expression come the name of an agent and what it should do."))


def _said(call: Call, cron: str, behind: Sequence[str]) -> _Said:
    """Return the parts; `behind` are the last words of the line."""
    if len(behind) < 2:
        raise InvalidRequest(_("Behind the expression come the name of an agent and what it should do."))
    return _Said(cron=cron.strip(), agent=behind[0], text=call.text_after(len(call.words) - len(behind) + 1))


def _is_cron(text: str) -> bool:
    try:
        Cron.parse(text, timezone=settings.TIME_ZONE)
    except InvalidSchedule:
        return False
    return True


def _the_schedule(call: Call) -> Schedule:
    return find_schedule(viewer=call.owner, called=call.words[0])


def _line(schedule: Schedule) -> str:
    paused = schedule.paused_until is not None and schedule.paused_until > database_now()
    sign = "⏸" if paused or not schedule.enabled else "⏰"
    where = schedule.agent.name if schedule.agent else schedule.queue.name if schedule.queue else "–"
    return f"{sign} {schedule.name} ({schedule.cron}) {where}"


def _last(run: ScheduleRun, schedule: Schedule) -> str:
    """Return the result of the moment that was decided last, and of its job."""
    job = Job.objects.filter(pk=run.job_id).first() if run.job_id else None
    zone = ZoneInfo(schedule.timezone)
    words = {"time": f"{run.due_at.astimezone(zone):%Y-%m-%d %H:%M:%S}", "outcome": run.get_outcome_display()}
    said = _("last: %(time)s, %(outcome)s") % words
    return said if job is None else f"{said} {SIGNS[JobStatus(job.status)]} #{short_id(job)}"


def _clock(moment: dt.datetime, cron: Cron) -> str:
    return f"{moment.astimezone(ZoneInfo(cron.timezone)):%Y-%m-%d %H:%M:%S}"


def _language() -> str:
    return "zh-hans" if (get_language() or settings.LANGUAGE_CODE).startswith("zh") else "en"


COMMANDS = (
    Command(
        phrases=_SCHEDULE,
        usage=gettext_lazy("schedule [NAME] – your schedules, or one and its next runs"),
        summary=gettext_lazy("⏰ runs, ⏸ is off or paused."),
        run=show_schedule,
        words=(0, 1),
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("list", "列表")),
        usage=gettext_lazy("schedule list – your schedules"),
        summary=gettext_lazy("Name, cron expression, agent."),
        run=run_list,
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("add", "添加")),
        usage=gettext_lazy("schedule add NAME CRON AGENT TEXT – a job again and again"),
        summary=gettext_lazy("“schedule add backup 30 2 * * * nas backup all”; or “@every 5m”, or a CRON in quotes."),
        run=run_add,
        words=(4, None),
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("pause", "暂停")),
        usage=gettext_lazy("schedule pause NAME [HOW LONG] – let it rest"),
        summary=gettext_lazy("“schedule pause backup 2d”; without HOW LONG until you resume it."),
        run=run_pause,
        words=(1, 2),
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("resume", "恢复")),
        usage=gettext_lazy("schedule resume NAME – let it run again"),
        summary=gettext_lazy("It runs again at its next time. Runs that it missed are not caught up."),
        run=run_resume,
        words=(1, 1),
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("run", "执行")),
        usage=gettext_lazy("schedule run NAME – start its job now"),
        summary=gettext_lazy("Also where it is off; its own moments come as before."),
        run=run_by_hand,
        words=(1, 1),
    ),
    Command(
        phrases=phrases(_SCHEDULE, ("del", "delete", "删除")),
        usage=gettext_lazy("schedule del NAME – delete a schedule"),
        summary=gettext_lazy("Jobs that it has started go on. You are asked before."),
        run=run_delete,
        words=(1, 1),
        warning=warn_delete,
    ),
)
