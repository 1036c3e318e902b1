"""`delay …`: a job for later, what waits, and taking it back."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from chat.commands.registry import Call, Command, Reply
from chat.commands.words import folded, phrases
from jobs.delayed.listing import DelayedFilter, list_delayed
from jobs.delayed.service import (
    DelayedRef,
    Moment,
    NewDelayedJob,
    cancel_delayed,
    create_delayed,
)
from jobs.models import MESSAGE_LENGTH, DelayedJob, DelayedState
from jobs.order import JobOrder
from kernel.durations import parse_duration
from kernel.errors import InvalidMessage, NotFound
from kernel.text import cut
from kernel.transactions import run_one
from kernel.visible import visible_line

_DELAY = ("delay", "延迟")
_LISTED = 10
_LOOKED_AT = 200
_LINE_CHARACTERS = 30
_SHORT_ID = 6
_SHORTEST_ID = 4
_WAITS = DelayedFilter(state=DelayedState.SCHEDULED)


def run_delay(call: Call) -> Reply:
    """Keep a job for one of the person's agents until its time."""
    text = call.text_after(2)
    if len(text) > MESSAGE_LENGTH:
        raise InvalidMessage(_("A job has at most %(limit)s characters."), params={"limit": MESSAGE_LENGTH})
    new = NewDelayedJob(
        owner_id=call.owner.pk,
        actor=call.line.actor,
        order=JobOrder(agent=call.words[1], message=text, source=call.line.source),
        moment=Moment(delay=parse_duration(folded(call.words[0]))),
        idempotency_key=f"chat:{call.line.message_id}" if call.line.message_id else None,
    )
    row = run_one(create_delayed, new).row
    words = {"agent": row.agent.name if row.agent else "–", "time": _clock(row.due_at), "id": _short_id(row)}
    return Reply(text=_("⏰ %(agent)s gets it at %(time)s. #%(id)s") % words)


def run_list(call: Call) -> Reply:
    """Show what waits, the newest first."""
    page = list_delayed(viewer=call.owner, wanted=_WAITS, size=_LISTED)
    if not page.rows:
        return Reply(text=_("Nothing is delayed. “delay 15d NAME TEXT” sends a job in 15 days."))
    lines = [_line(row) for row in page.rows]
    if page.older:
        lines.append(_("and more"))
    return Reply(text="\n".join(lines))


def run_delete(call: Call) -> Reply:
    """Take back one that waits."""
    row = _find(call)
    run_one(cancel_delayed, DelayedRef(owner_id=call.owner.pk, delayed_id=row.pk))
    return Reply(text=_("⬜ Canceled. #%(id)s") % {"id": _short_id(row)})


def _find(call: Call) -> DelayedJob:
    """Return the one whose id ends so, among the newest that wait."""
    wanted = call.words[0].lstrip("#＃").lower()
    rows = list_delayed(viewer=call.owner, wanted=_WAITS, size=_LOOKED_AT).rows
    found = [row for row in rows if row.pk.endswith(wanted)] if len(wanted) >= _SHORTEST_ID else []
    if not found:
        raise NotFound(_("Nothing that is delayed has that number. “delay list” lists it."))
    if len(found) > 1:
        count = len(found)
        raise NotFound(
            ngettext("%(count)s job ends so. Write more of it.", "%(count)s jobs end so. Write more of it.", count),
            params={"count": count},
        )
    return found[0]


def _line(row: DelayedJob) -> str:
    text = visible_line(row.message)
    shown = text if len(text) <= _LINE_CHARACTERS else cut(text, _LINE_CHARACTERS - 1, "characters") + "…"
    target = row.agent.name if row.agent else row.queue.name if row.queue else row.url
    return f"⏰ {_clock(row.due_at)} {target} {shown} #{_short_id(row)}"


def _short_id(row: DelayedJob) -> str:
    return str(row.pk)[-_SHORT_ID:]


def _clock(moment: dt.datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(settings.TIME_ZONE)):%Y-%m-%d %H:%M:%S}"


COMMANDS = (
    Command(
        phrases=_DELAY,
        usage=gettext_lazy("delay HOW LONG NAME TEXT – a job for later"),
        summary=gettext_lazy("“delay 15d shop close 123”, or 90s, 30m, 2h, 1w, 15天, 2小时, 30分钟; up to 400 days."),
        run=run_delay,
        words=(3, None),
    ),
    Command(
        phrases=phrases(_DELAY, ("list", "列表")),
        usage=gettext_lazy("delay list – what is delayed"),
        summary=gettext_lazy("The number after the # is for “delay del”."),
        run=run_list,
    ),
    Command(
        phrases=phrases(_DELAY, ("del", "delete", "cancel", "删除", "取消")),
        usage=gettext_lazy("delay del NUMBER – take a delayed job back"),
        summary=gettext_lazy("“delay list” shows its number."),
        run=run_delete,
        words=(1, 1),
    ),
)
