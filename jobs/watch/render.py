"""Write a notice in the active language. The policy decides whom it mentions and on which channels it goes."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from jobs.watch.evaluate import Kind, Notice
from jobs.watch.policy import PLACEHOLDER, Mode, NotifyPolicy
from kernel.text import cut, keep_head_and_tail
from kernel.visible import visible_line, visible_text
from notifications.models import TITLE_LENGTH

LINES_SHOWN = 20
LINE_SHOWN = 200
TEXT_SHOWN_BYTES = 2000
_NAME_SHOWN = 60


def render_notice(policy: NotifyPolicy, notice: Notice, name: str) -> tuple[str, str]:
    """Return the title and the text of a notice about the job or schedule `name`. Neither is empty.

    Added lines begin with "+ ", removed lines with "- ". At most LINES_SHOWN of each kind are shown. The policy's own
    message replaces the text of news and results.
    """
    name = cut(visible_line(name), _NAME_SHOWN, "characters")
    title = cut(_title(policy, notice, name), TITLE_LENGTH, "characters")
    if policy.message and notice.kind in (Kind.NEWS, Kind.RESULT):
        text = _filled(policy.message, notice, name)
    elif notice.kind == Kind.FAILURE:
        text = "\n".join([_reason(notice), *([_output(notice)] if notice.text.strip() else [])])
    else:
        text = _changes(notice) or _output(notice)
    return title, text if text.strip() else title


def _title(policy: NotifyPolicy, notice: Notice, name: str) -> str:
    count = len(notice.added)
    words: dict[str, object] = {"name": name, "count": count}
    if notice.kind == Kind.RECOVERY:
        return _("%(name)s works again") % words
    if notice.kind == Kind.RESULT:
        return _("%(name)s is done") % words
    if notice.kind == Kind.FAILURE:
        if notice.failures == 1:
            return _("%(name)s failed") % words
        return _("%(name)s failed %(count)s times in a row") % {**words, "count": notice.failures}
    if policy.mode in (Mode.VALUE, Mode.EXIT) and count == len(notice.removed) == 1:
        return f"{name}: {notice.removed[0]} → {notice.added[0]}"
    if policy.mode == Mode.NEW_ITEMS:
        return ngettext("%(name)s: %(count)s new", "%(name)s: %(count)s new", count) % words
    if policy.mode == Mode.SCRIPT:
        return _("%(name)s has news") % words
    return _("%(name)s has changed") % words


def _reason(notice: Notice) -> str:
    if notice.expired:
        return _("No report says how it ended.")
    if notice.exit_code is None:
        return _("It ended without an exit code.")
    return _("Exit code %(code)s.") % {"code": notice.exit_code}


def _output(notice: Notice) -> str:
    text = visible_text(notice.text).strip()
    return keep_head_and_tail(text, limit_bytes=TEXT_SHOWN_BYTES).text if text else _("There is no output.")


def _changes(notice: Notice) -> str:
    return "\n".join([*_listed(notice.added, "+ "), *_listed(notice.removed, "- ")])


def _listed(lines: Sequence[str], sign: str) -> list[str]:
    shown = [sign + _shortened(line) for line in lines[:LINES_SHOWN]]
    more = len(lines) - len(shown)
    if more > 0:
        shown.append(sign + ngettext("… and %(count)s more", "… and %(count)s more", more) % {"count": more})
    return shown


def _shortened(line: str) -> str:
    line = visible_text(line)
    return line if len(line) <= LINE_SHOWN else cut(line, LINE_SHOWN - 1, "characters") + "…"


def _filled(message: str, notice: Notice, name: str) -> str:
    """Fill the placeholders in one pass, so that braces inside a compared line stay as they are."""
    words = {
        "name": name,
        "count": str(len(notice.added) or len(notice.removed)),
        "added": "\n".join(_listed(notice.added, "")),
        "removed": "\n".join(_listed(notice.removed, "")),
        "text": _output(notice),
    }
    return PLACEHOLDER.sub(lambda found: words[found.group(1)], message)
