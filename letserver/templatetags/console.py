"""Template tags and filters: times, durations, status pills, icons, sizes, safe text."""

from __future__ import annotations

import datetime as dt

from django import template
from django.forms import BoundField
from django.templatetags.static import static
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from jobs.states import JobStatus
from kernel.visible import visible_line, visible_text
from notifications.drivers.base import Words
from notifications.messages.actions import action_words
from notifications.models import DeliveryState, Level

register = template.Library()

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_JUST_NOW_SECONDS = 5
_DAYS_IN_WORDS = 14

register.filter("visible", visible_text)
register.filter("visible_line", visible_line)
register.filter("action_words", action_words)


@register.filter
def with_hidden_shown(value: object) -> str:
    """Return the text with its hidden characters as signs; "" where it has none, or where the value is not a text."""
    shown = visible_text(value) if isinstance(value, str) else ""
    return shown if shown != value else ""


@register.simple_tag
def ago(moment: dt.datetime | None, empty: str = "") -> str:
    """Draw a time as `3 minutes ago`, with the exact time as its title; `empty` for None."""
    if moment is None:
        return empty or "–"
    local = timezone.localtime(moment)
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), _exact(local), _in_words(moment))


@register.simple_tag
def clock(moment: dt.datetime) -> SafeString:
    """Draw the time of day with milliseconds, the date as its title."""
    local = timezone.localtime(moment)
    shown = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), _exact(local), shown)


@register.simple_tag
def moment(at: dt.datetime) -> SafeString:
    """Draw a past or future time: only the time of day if it is today, else with its date."""
    local = timezone.localtime(at)
    shown = f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else f"{local:%m-%d %H:%M}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), _exact(local), shown)


@register.filter
def duration(length: dt.timedelta | None) -> str:
    """Write a length of time with at most two units; nothing for None."""
    if length is None:
        return ""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 1:
        return _("%(count)s ms") % {"count": round(seconds * 1000)}
    if seconds < _MINUTE:
        return _("%(count)s s") % {"count": formats.number_format(seconds, 1)}
    whole = round(seconds)
    if whole < _HOUR:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": whole // _MINUTE, "seconds": whole % _MINUTE}
    if whole < _DAY:
        return _("%(hours)s h %(minutes)s min") % {"hours": whole // _HOUR, "minutes": whole % _HOUR // _MINUTE}
    return _("%(days)s d %(hours)s h") % {"days": whole // _DAY, "hours": whole % _DAY // _HOUR}


@register.filter
def size(count: int) -> str:
    """Write a number of bytes."""
    if count < 1024:
        return ngettext("%(count)s byte", "%(count)s bytes", count) % {"count": count}
    if count < 1024 * 1024:
        return f"{formats.number_format(count / 1024, 1)} KiB"
    return f"{formats.number_format(count / 1024 / 1024, 1)} MiB"


@register.simple_tag
def status(value: str) -> SafeString:
    """Draw a job's status: a pill with its own colour, shape and word."""
    known = JobStatus(value)
    return format_html(
        '<span class="pill pill-{}">{}{}</span>', known.value, icon(f"status-{known.value}"), known.label
    )


_LOOKS: dict[str, tuple[str, Words]] = {
    "stored": ("canceled", gettext_lazy("reaches nobody")),
    "handed_on": ("canceled", gettext_lazy("handed on")),
    DeliveryState.PENDING: ("queuing", DeliveryState.PENDING.label),
    DeliveryState.IN_FLIGHT: ("sent", DeliveryState.IN_FLIGHT.label),
    DeliveryState.SENT: ("succeeded", DeliveryState.SENT.label),
    DeliveryState.RETRY: ("expired", DeliveryState.RETRY.label),
    DeliveryState.DEAD: ("failed", DeliveryState.DEAD.label),
    DeliveryState.WITHDRAWN: ("canceled", DeliveryState.WITHDRAWN.label),
}


@register.simple_tag
def delivery(value: str) -> SafeString:
    """Draw the state of a delivery, or of a message, as a pill like a job's."""
    look, word = _LOOKS[value]
    return format_html('<span class="pill pill-{} is-{}">{}{}</span>', look, value, icon(f"status-{look}"), word)


@register.simple_tag
def level(value: str) -> SafeString:
    """Draw a message's level: colour and shape, and the word for screen readers."""
    known = Level(value)
    return format_html(
        '<span class="level level-{}">{}</span>', known.value, icon(f"level-{known.value}", str(known.label))
    )


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw an icon of the sprite; screen readers read its label and skip it without one."""
    href = f"{static('img/icons.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', href)


@register.inclusion_tag("components/_field.html")
def field(bound: BoundField) -> dict[str, object]:
    """Draw a field: label, input, help, errors tied to the input."""
    invalid: dict[str, str | bool] = {"aria-invalid": "true"} if bound.errors else {}
    return {"field": bound, "widget": bound.as_widget(attrs=invalid)}


def _exact(local: dt.datetime) -> str:
    return local.strftime("%Y-%m-%d %H:%M:%S %Z")


def _in_words(moment: dt.datetime) -> str:
    seconds = int((timezone.now() - moment).total_seconds())
    if seconds < _JUST_NOW_SECONDS:
        return _("just now")
    if seconds < _MINUTE:
        return ngettext("%(count)s second ago", "%(count)s seconds ago", seconds) % {"count": seconds}
    if seconds < _HOUR:
        minutes = seconds // _MINUTE
        return ngettext("%(count)s minute ago", "%(count)s minutes ago", minutes) % {"count": minutes}
    if seconds < _DAY:
        hours = seconds // _HOUR
        return ngettext("%(count)s hour ago", "%(count)s hours ago", hours) % {"count": hours}
    days = seconds // _DAY
    if days <= _DAYS_IN_WORDS:
        return ngettext("%(count)s day ago", "%(count)s days ago", days) % {"count": days}
    return timezone.localtime(moment).strftime("%Y-%m-%d")
