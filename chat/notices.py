"""Messages to a person about their jobs and agents: outbox rows in the transaction of the move.

There is one message for each end. For a running job the newest progress replaces the one that still waits, and waits
ten seconds, because platforms count our messages. A job from a chat is answered there, any other job on the person's
first channel. A person without a channel costs one query.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ChatIdentity, User
from agents.models import Agent
from chat.asking import asks
from chat.commands.jobs import SIGNS, short_id
from chat.models import ChatLine
from jobs.models import Job
from jobs.states import TERMINAL, JobStatus, Move
from jobs.transitions import JobMove
from kernel.text import cut
from kernel.visible import visible_line, visible_text
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage, language_of
from notifications.messages.notify import notify_owner
from notifications.models import Channel, Level, Way

SOURCE = "chat:"
_PROGRESS_HOLD = dt.timedelta(seconds=10)
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 300, 700
_TITLE_CHARACTERS = 30


def tell_of_moves(moved: Sequence[JobMove], now: dt.datetime) -> None:
    """Send owners the ends of their jobs, and the messages of running jobs.

    Jobs with a callback, or `disable`, send no message here. `jobs.watch.service` sends those of jobs with `notify`.
    """
    told = [one for one in moved if _is_told_here(one.job) and (one.after in TERMINAL or _speaks(one))]
    if not told:
        return
    owners = _reachable(one.job.owner_id for one in told)
    told = [one for one in told if one.job.owner_id in owners]
    if not told:
        return
    addresses = _addresses(one.job.source for one in told)
    agents = Agent.objects.in_bulk({one.job.agent_id for one in told if one.job.agent_id})
    wishes = []
    for one in told:
        with language_of(owners[one.job.owner_id]):
            wish = _wish(one, agents.get(one.job.agent_id or ""), addresses.get(one.job.source), now)
        wishes.append(wish)
    accept_messages(wishes, now=now)


def tell_of_presence(agent_ids: Sequence[str], online: bool, now: dt.datetime) -> None:
    """Tell owners that agents came online or went offline, each owner once."""
    agents = Agent.objects.filter(pk__in=agent_ids, deleted_at=None).order_by("name")
    owners = _reachable(agent.owner_id for agent in agents)
    sentence = gettext_lazy("🟩 %(names)s is online.") if online else gettext_lazy("🟥 %(names)s is offline.")
    for owner_id, owner in owners.items():
        names = ", ".join(agent.name for agent in agents if agent.owner_id == owner_id)
        # The key makes a newer notice about the same agents replace one that still waits.
        notify_owner(
            owner, sentence, {"names": names}, now=now,
            level=_level(online), source="", way=Way.AUTO, key=f"presence:{names}"[:64],
        )  # fmt: skip


def _level(good: bool) -> Level:
    return Level.INFO if good else Level.WARNING


def _is_told_here(job: Job) -> bool:
    return not job.callback and job.notify is None


def _speaks(one: JobMove) -> bool:
    return one.move == Move.PROGRESS and bool(one.text.strip())


def _reachable(owner_ids: Iterable[str]) -> dict[str, User]:
    """Return those of these people who have a channel that is on, or who talk on the console's page and read there."""
    has_channel = Exists(Channel.objects.filter(owner=OuterRef("pk"), enabled=True))
    talks_here = Exists(ChatLine.objects.filter(owner=OuterRef("pk")))
    people = User.objects.filter(has_channel | talks_here, pk__in=set(owner_ids))
    return {person.pk: person for person in people}


def _addresses(sources: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return where the chats are that these sources name."""
    ids = {source.removeprefix(SOURCE) for source in sources if source.startswith(SOURCE)}
    identities = ChatIdentity.objects.filter(pk__in=ids, active=True) if ids else []
    return {f"{SOURCE}{one.pk}": (one.account, one.external_id) for one in identities}


def _wish(one: JobMove, agent: Agent | None, address: tuple[str, str] | None, now: dt.datetime) -> NewMessage:
    job, is_end = one.job, one.after in TERMINAL
    good = one.after in (JobStatus.SUCCEEDED, JobStatus.RUNNING, JobStatus.CANCELED)
    output = one.output.text if one.output is not None else one.text
    return NewMessage(
        owner_id=job.owner_id,
        text="\n".join(filter(None, [_headline(one), _shortened(visible_text(output).strip())])),
        level=_level(good),
        source=agent.name if agent else "",
        agent_id=job.agent_id or "",
        way=Way.AUTO,
        address=address,
        key=f"job:{job.pk}",
        idempotency_key=f"job:{job.pk}:{job.events_count}",
        not_before=None if is_end else now + _PROGRESS_HOLD,
    )


def _headline(one: JobMove) -> str:
    words = {"job": cut(visible_line(one.job.message), _TITLE_CHARACTERS, "characters"), "id": short_id(one.job)}
    sentence = {
        JobStatus.RUNNING: _("The job [%(job)s] says: #%(id)s"),
        JobStatus.SUCCEEDED: _("The job [%(job)s] is done. #%(id)s"),
        JobStatus.FAILED: _("The job [%(job)s] has failed. #%(id)s"),
        JobStatus.EXPIRED: _("The job [%(job)s] has expired: its agent did not say in time how it ended. #%(id)s"),
        JobStatus.CANCELED: _("The job [%(job)s] was canceled. #%(id)s"),
    }[one.after]
    if one.move == Move.FINISH_LATE:
        sentence = _("A late result of the job [%(job)s]: #%(id)s")
    if asks(one):
        sentence = _(
            "❓ The agent asks before it does [%(job)s]. Reply “yes” within two minutes, and it is done. #%(id)s"
        )
        return sentence % words
    if one.move == Move.WAIT_END:
        sentence = _("The job [%(job)s] has expired: its agent did not take it in time. #%(id)s")
    return f"{SIGNS[one.after]} {sentence % words}"


def _shortened(text: str) -> str:
    """Return the beginning and the end of a job's output; errors are usually at the end."""
    if len(text) <= _HEAD_CHARACTERS + _TAIL_CHARACTERS:
        return text
    head = cut(text, _HEAD_CHARACTERS, "characters")
    tail = text[-_TAIL_CHARACTERS:]
    left_out = len(text.encode()) - len(head.encode()) - len(tail.encode())
    return f"{head}\n{_('… %(count)s bytes left out …') % {'count': left_out}}\n{tail}"
