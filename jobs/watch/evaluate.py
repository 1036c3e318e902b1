"""Evaluate one run against the memory of earlier runs: which notice it makes, and the new memory.

The module is pure: no clock, no database, no language. The caller stores the memory in the transaction that queues
the notice. So a crash may evaluate a run twice, but the owner gets one notice.

The baseline changes only once a difference was reported. While the difference waits for `confirm` or
`cooldown_seconds`, the baseline stays, and the next run finds the difference again. `memory.py` has an example.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from jobs.watch.extract import Element, clean, extract
from jobs.watch.memory import Memory, digest, mark, seconds
from jobs.watch.policy import Empty, First, Mode, NotifyPolicy, When
from kernel.text import keep_head_and_tail
from notifications.models import Level

__all__ = ["Evaluation", "Kind", "Memory", "Notice", "Run", "evaluate"]

NEWS_EXIT_CODE = 10
NOTICE_TEXT_BYTES = 8 * 1024
LOST_LINE = "…"
"""Shown for a removed line whose text was not kept."""


class Kind(StrEnum):
    """The subject of a notice."""

    NEWS = "news"
    FAILURE = "failure"
    RECOVERY = "recovery"
    """A recovery may include news."""
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The end of a job at the aware time `at`.

    `expired` means that no report arrived. `late` means that the report arrived after the expiry was evaluated.
    """

    succeeded: bool
    exit_code: int | None
    text: str
    at: dt.datetime
    expired: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The content of a notice. News of a comparison has at least one line in `added` or `removed`.

    `failures` counts the failures in a row.
    """

    kind: Kind
    level: Level
    added: tuple[str, ...]
    removed: tuple[str, ...]
    text: str
    failures: int
    exit_code: int | None
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of judging a run: the notice, if any, and the new memory."""

    notice: Notice | None
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """The result of one comparison.

    - `told`: the memory after the notice went out, or when there is no news.
    - `kept`: the memory while the notice has not gone out.
    - `same_as`: findings with equal `same_as` count as the same change for `confirm`.
    """

    told: Memory
    kept: Memory
    is_news: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    same_as: tuple[str, ...] = ()


def evaluate(policy: NotifyPolicy, memory: Memory | None, run: Run) -> Evaluation:
    """Return the notice for `run` and the new memory. `memory` is None before the first run."""
    memory = (memory or Memory()).on(digest([policy.mode, policy.key, policy.path, *policy.ignore]))
    items = extract(policy, text=run.text, exit_code=run.exit_code)
    if _failed(policy, run, items):
        if run.late:
            # The expiry already counted as the failure of this run.
            return Evaluation(notice=None, memory=memory)
        return _after_failure(policy, memory, run)
    return _after_success(policy, memory, run, items)


def _failed(policy: NotifyPolicy, run: Run, items: Sequence[Element] | None) -> bool:
    if run.expired:
        return True
    if policy.mode == Mode.EXIT and policy.when == When.CHANGE and run.exit_code is not None:
        return False
    if policy.mode == Mode.SCRIPT and run.exit_code is not None:
        failed = run.exit_code != NEWS_EXIT_CODE and not (run.succeeded and run.exit_code == 0)
    else:
        failed = not run.succeeded
    nothing = not run.text.strip() if policy.mode == Mode.EXIT else not items
    return failed or (policy.empty == Empty.FAIL and nothing)


def _after_failure(policy: NotifyPolicy, memory: Memory, run: Run) -> Evaluation:
    memory = replace(memory, failures=memory.failures + 1)
    enough = memory.failures >= policy.max_tries
    due = policy.when == When.ALWAYS or (enough and (policy.when == When.FAILURE or not memory.alerted))
    if not due or _cooling(policy, memory, Kind.FAILURE, run.at):
        return Evaluation(notice=None, memory=memory)
    notice = _notice(policy, Kind.FAILURE, run, failures=memory.failures)
    return Evaluation(notice=notice, memory=replace(memory, alerted=True).with_told(Kind.FAILURE, run.at))


def _after_success(policy: NotifyPolicy, memory: Memory, run: Run, items: Sequence[Element] | None) -> Evaluation:
    """Make a notice of the first kind that is due and not cooling down: recovery, news, result."""
    memory = replace(memory, failures=0, alerted=memory.alerted and policy.when != When.FAILURE)
    finding = _Finding(told=memory, kept=memory)
    if policy.when in (When.CHANGE, When.ALWAYS):
        finding = _confirmed(policy, memory, _find(policy, memory, run, items))
    every = policy.when == When.ALWAYS or (policy.when == When.CHANGE and policy.mode == Mode.ALWAYS)
    due = [
        kind
        for kind, wanted in ((Kind.RECOVERY, memory.alerted), (Kind.NEWS, finding.is_news), (Kind.RESULT, every))
        if wanted and not _cooling(policy, memory, kind, run.at)
    ]
    tells_news = finding.is_news and due[:1] in ([Kind.RECOVERY], [Kind.NEWS])
    after = finding.told if tells_news or not finding.is_news else finding.kept
    if not due:
        return Evaluation(notice=None, memory=after)
    if due[0] == Kind.RECOVERY:
        after = replace(after, alerted=False)
    notice = _notice(policy, due[0], run, finding if tells_news else None)
    return Evaluation(notice=notice, memory=after.with_told(due[0], run.at))


def _confirmed(policy: NotifyPolicy, memory: Memory, finding: _Finding) -> _Finding:
    """Return the finding; it counts as no news until enough runs in a row show it."""
    if not finding.is_news:
        return replace(finding, told=replace(finding.told, pending="", times=0))
    same = digest(finding.same_as)
    times = min(memory.times + 1 if memory.pending == same else 1, policy.confirm)
    kept = replace(finding.kept, pending=same, times=times)
    if times < policy.confirm:
        return _Finding(told=kept, kept=kept)
    return replace(finding, told=replace(finding.told, pending="", times=0), kept=kept)


def _find(policy: NotifyPolicy, memory: Memory, run: Run, items: Sequence[Element] | None) -> _Finding:
    if policy.mode == Mode.ALWAYS:
        return _Finding(told=memory, kept=memory)
    if policy.mode == Mode.SCRIPT:
        is_news = run.exit_code == NEWS_EXIT_CODE
        return _Finding(told=memory, kept=memory, is_news=is_news, same_as=(run.text,))
    if policy.mode == Mode.NEW_ITEMS:
        return _unseen(policy, memory, run, items)
    if not items and policy.empty != Empty.CHANGE:
        return _Finding(told=memory, kept=memory)
    if policy.has_thresholds and items and memory.value:
        return _crossed(policy, memory, items[0].shown)
    return _differing(policy, memory, [item.shown for item in items or ()])


def _unseen(policy: NotifyPolicy, memory: Memory, run: Run, items: Sequence[Element] | None) -> _Finding:
    """Find the elements that did not occur within `forget_seconds`. An empty output is a baseline too."""
    if items is None:
        return _Finding(told=memory, kept=memory)
    now = seconds(run.at)
    known = {one: at for one, at in memory.last_seen().items() if at >= now - policy.forget_seconds}
    present: dict[str, str] = {}
    for item in items:
        present.setdefault(mark(item.identity), item.shown)
    kept = memory.with_seen(known | {one: now for one in present if one in known})
    told = memory.with_seen(known | dict.fromkeys(present, now))
    if not memory.known and policy.first == First.SILENT:
        return _Finding(told=told, kept=told)
    added = tuple(shown for one, shown in present.items() if one not in known)
    kept = replace(kept, known=memory.known)
    return _Finding(told=told, kept=kept, is_news=bool(added), added=added, same_as=tuple(sorted(added)))


def _differing(policy: NotifyPolicy, memory: Memory, lines: Sequence[str]) -> _Finding:
    """Find the added and the removed lines."""
    told = replace(memory.with_text(lines), value=lines[0] if policy.mode == Mode.VALUE and lines else "")
    if not memory.known and policy.first == First.SILENT:
        return _Finding(told=told, kept=told)
    before = [(mark(line), line) for line in memory.lines] + [(one, LOST_LINE) for one in memory.marks_of_rest()]
    now = [(mark(line), line) for line in lines]
    added, removed = _surplus(now, before), _surplus(before, now)
    is_news = bool(added or removed)
    return _Finding(
        told=told,
        kept=memory,
        is_news=is_news,
        added=added,
        removed=removed,
        same_as=(*sorted(added), "", *sorted(removed)),
    )


def _surplus(lines: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the lines that occur more often in `lines` than in `others`, compared by their marks."""
    left = Counter(one for one, _line in others)
    surplus = []
    for one, line in lines:
        if left[one] > 0:
            left[one] -= 1
        else:
            surplus.append(line)
    return tuple(surplus)


def _crossed(policy: NotifyPolicy, memory: Memory, shown: str) -> _Finding:
    """Find the limits that a number crossed.

    `above` and `below` compare with the last run, `delta` compares with the last notice, so that slow drift counts.
    """
    number, last, noted = Decimal(shown), Decimal(memory.value), Decimal((memory.lines or (memory.value,))[0])
    crossed = []
    if policy.above is not None and number > Decimal(str(policy.above)) >= last:
        crossed.append("above")
    if policy.below is not None and number < Decimal(str(policy.below)) <= last:
        crossed.append("below")
    was = memory.value if crossed else (memory.lines or (memory.value,))[0]
    if policy.delta is not None and abs(number - noted) >= Decimal(str(policy.delta)):
        crossed.append("delta")
    moved = replace(memory, value=shown)
    if not crossed:
        return _Finding(told=moved, kept=moved)
    return _Finding(
        told=moved.with_text([shown]),
        kept=memory,
        is_news=True,
        added=(shown,),
        removed=(was,),
        same_as=tuple(crossed),
    )


def _cooling(policy: NotifyPolicy, memory: Memory, kind: Kind, at: dt.datetime) -> bool:
    """Tell whether the last notice of this kind is too recent. A notice in the future (clock set back) never is."""
    told_at = memory.told_at(kind)
    return told_at is not None and 0 <= seconds(at) - told_at < policy.cooldown_seconds


def _notice(
    policy: NotifyPolicy, kind: Kind, run: Run, finding: _Finding | None = None, *, failures: int = 0
) -> Notice:
    level = Level.WARNING if kind == Kind.FAILURE and policy.level == Level.INFO else policy.level
    return Notice(
        kind=kind,
        level=level,
        added=finding.added if finding else (),
        removed=finding.removed if finding else (),
        text=keep_head_and_tail(clean(run.text), limit_bytes=NOTICE_TEXT_BYTES).text,
        failures=failures,
        exit_code=run.exit_code,
        expired=run.expired,
    )
