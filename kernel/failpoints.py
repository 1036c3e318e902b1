"""Failpoints: named places before and after every commit and side effect, at which a test lets a process die.

`reach("writer.together.before_commit")` does nothing, unless LETSERVER_FAILPOINT names that point as `name:n` or
`name:n:file`. Then the n-th time it is reached in a process, that process writes a line into the file and kills itself
with -9, as a power cut would.
"""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import dataclass, field

VARIABLE = "LETSERVER_FAILPOINT"

POINTS = {
    "writer.together.before_commit": "The writer has written a batch; nobody was answered.",
    "writer.together.after_commit": "A batch is committed and its bells are queued; nobody was answered.",
    "writer.each_alone.before_commit": "The writer has written a batch item by item, because together it failed.",
    "writer.each_alone.after_commit": "Such a batch is committed; nobody was answered.",
    "log.before_commit": "A piece of a running job's log is written.",
    "log.after_commit": "A piece of a log is committed; its agent was not answered.",
    "alone.before_commit": "A view has written one item.",
    "alone.after_commit": "A view's item is committed; its caller was not answered.",
    "put_back.before_queue": "A claimed job's answer will not leave; the writer does not know it yet.",
    "put_back.after_queue": "The writer knows that a claimed job is to wait again.",
    "put_back.before_commit": "Jobs that were claimed in vain wait again, in a transaction still open.",
    "answer.before_send": "The answer of a hot call is known, and everything it says is committed.",
    "answer.after_send": "The answer of a hot call was handed to the server.",
    "clock.before_commit": "The gateway's clock has beaten, and shifted deadlines if there was a gap.",
    "clock.after_commit": "The beat is committed.",
    "overdue.before_commit": "The sweep has expired leases and waits.",
    "overdue.after_commit": "Those expiries are committed.",
    "offline.before_commit": "The sweep has marked silent agents and ended the jobs that may not wait for them.",
    "offline.after_commit": "The marks and ends are committed.",
    "absent.before_commit": "The sweep has ended jobs that slipped in beside an agent's going.",
    "absent.after_commit": "Those ends are committed.",
    "release.before_commit": "Delayed jobs that are due are marked as fired, their jobs are written.",
    "release.after_commit": "They are committed and their bells are queued.",
    "delayed.tell.before_commit": "Owners are told of delayed jobs that wait for their agents.",
    "delayed.tell.after_commit": "That they are told is committed.",
    "restore.skip.before_commit": "After a restore, delayed jobs that are due are canceled.",
    "restore.skip.after_commit": "That they are canceled is committed.",
    "ticker.before_commit": "Staff hold the due scans, or let them run.",
    "ticker.after_commit": "That is committed.",
    "keys.before_commit": "The sweep has freed old idempotency keys.",
    "keys.after_commit": "The keys are free.",
    "lost_bells.before_ring": "The sweep knows whose bell was lost; none has rung.",
    "lost_bells.after_ring": "The sweep has rung again.",
    "bell.before_queue": "A move is committed; its bell is not queued.",
    "bell.before_handlers": "The ringer has taken a bell; nobody has heard it.",
    "bell.after_handlers": "Everybody has heard the bell.",
    "flag.before_set": "The ringer is about to set an agent's flag in Redis and to tell the gateways.",
    "flag.after_set": "The flag is set and the gateways are told.",
    "flag.before_tell": "The gateway is about to set a flag before it answers.",
    "flag.after_tell": "The gateway has queued the flag for its connection to Redis.",
    "flag.before_take": "A poll is about to take its agent's flag.",
    "flag.after_take": "A poll has taken its agent's flag and not yet looked for a job.",
    "gateway_limit.before_count": "The gateway is about to count a call in Redis.",
    "gateway_limit.after_count": "A call of the gateway is counted.",
    "view_limit.before_count": "A view is about to count its call in Redis.",
    "view_limit.after_count": "A view's call is counted.",
    "create_agent.before_commit": "The command has written an agent, and its owner where there was none.",
    "create_agent.after_commit": "The command's agent is committed; its token was not printed.",
    "first_start.before_commit": "The first start has written a superuser, a token and the demo agent.",
    "first_start.after_commit": "All of the first start is committed; nothing was printed.",
    "deliver.claim.before_commit": "A courier has counted its try of a delivery.",
    "deliver.claim.after_commit": "The try is counted; nothing was sent.",
    "deliver.before_send": "A service is about to be called.",
    "deliver.after_send": "The service has answered, or not; nobody else knows.",
    "deliver.finish.before_commit": "What became of the try is written.",
    "deliver.finish.after_commit": "What became of the try is committed.",
    "deliver.replay.before_commit": "A delivery that was given up is to be tried again.",
    "deliver.replay.after_commit": "That is committed.",
    "action.take.before_commit": "An action is taken; its job is not sent.",
    "action.take.after_commit": "That it is taken is committed; its job is not sent.",
    "choice.before_commit": "A number was chosen in a chat: the action is taken and its job is written.",
    "choice.after_commit": "Both are committed; the person was not answered.",
    "inbound.before_commit": "What a platform brought, what it did and its answer are written.",
    "inbound.after_commit": "They are committed; the platform was not answered.",
    "later.before_commit": "An answer that was put off is stored as a message, and that it was given.",
    "later.after_commit": "Both are committed.",
    "invitation.before_commit": "Somebody came by a poster: both sides have one more agent.",
    "invitation.after_commit": "That is committed.",
    "code.bind.before_commit": "A code to bind has taken the place of the one before it.",
    "code.bind.after_commit": "The new code is committed and was shown to nobody.",
    "code.take.before_commit": "A code to bind was used, or a wrong one was counted.",
    "code.take.after_commit": "That is committed; nobody is bound yet.",
    "code.login.before_commit": "A browser's new ways in have taken the place of those before them.",
    "code.login.after_commit": "They are committed and were shown to nobody.",
    "code.approve.before_commit": "A person has let a browser in.",
    "code.approve.after_commit": "That is committed; the person was not answered.",
    "code.collect.before_commit": "A browser has collected who let it in.",
    "code.collect.after_commit": "That is committed; the browser was not answered.",
    "channel.create.before_commit": "A channel and the audit entry are written.",
    "channel.create.after_commit": "A new channel is committed.",
    "channel.update.before_commit": "A channel was changed.",
    "channel.update.after_commit": "The change of a channel is committed.",
    "channel.ask.before_commit": "A mailbox is to be asked again.",
    "channel.ask.after_commit": "The mail that asks again is committed.",
    "channel.confirm.before_commit": "A mailbox has agreed.",
    "channel.confirm.after_commit": "That it agreed is committed.",
    "channel.delete.before_commit": "A channel was removed.",
    "channel.delete.after_commit": "The removal of a channel is committed.",
    "channel.ensure.before_commit": "A person's channel at a platform was made or switched on.",
    "channel.ensure.after_commit": "That channel is committed.",
    "channel.shut.before_commit": "A person has left; their channel was switched off.",
    "channel.shut.after_commit": "That is committed.",
    "queue.put.before_commit": "A queue was made or changed; what waits in it stands where it now runs.",
    "queue.put.after_commit": "A queue is committed.",
    "queue.state.before_commit": "A queue was paused, resumed or drained.",
    "queue.state.after_commit": "That is committed.",
    "queue.add.before_commit": "Many jobs of one call stand in their queue.",
    "queue.add.after_commit": "They are committed; their sender was not answered.",
    "queue.flush.before_commit": "Some of what waits in a queue is canceled.",
    "queue.flush.after_commit": "That is committed; there may be more.",
    "queue.delete.before_commit": "A queue was removed.",
    "queue.delete.after_commit": "The removal of a queue is committed.",
    "dead.replay.before_commit": "Dead letters have new attempts.",
    "dead.replay.after_commit": "Those attempts are committed; their owner was not answered.",
    "dead.purge.before_commit": "Dead letters were taken from the list.",
    "dead.purge.after_commit": "That is committed.",
    "agent.create.before_commit": "An agent, its names, its token and the audit entry are written.",
    "agent.create.after_commit": "A new agent is committed; its token was shown to nobody.",
    "agent.update.before_commit": "An agent was changed, its jobs are canceled if it was disabled.",
    "agent.update.after_commit": "The change of an agent is committed.",
    "agent.delete.before_commit": "An agent was deleted, its tokens and jobs have ended.",
    "agent.delete.after_commit": "The deletion of an agent is committed.",
    "agent.reset_token.before_commit": "An agent's old token has ended and a new one is written.",
    "agent.reset_token.after_commit": "The new token is committed and was shown to nobody.",
    "agent.touch.before_commit": "Agents were heard, by a view.",
    "agent.touch.after_commit": "That they were heard is committed.",
    "calendar.import.before_commit": "The days of a calendar's file are written.",
    "calendar.import.after_commit": "The days of a calendar's file are committed.",
    "calendar.warn.before_commit": "Staff are told of calendars whose list ends.",
    "calendar.warn.after_commit": "That staff are told is committed.",
    "schedule.create.before_commit": "A schedule was made.",
    "schedule.create.after_commit": "A schedule is committed.",
    "schedule.save.before_commit": "A schedule was changed.",
    "schedule.save.after_commit": "The change of a schedule is committed.",
    "schedule.delete.before_commit": "A schedule was removed.",
    "schedule.delete.after_commit": "The removal of a schedule is committed.",
    "schedule.run.before_commit": "A job of a schedule was started by hand.",
    "schedule.run.after_commit": "That job is committed; its caller was not answered.",
    "schedules.start.before_commit": "Due occurrences are decided; their jobs and rows are written.",
    "schedules.start.after_commit": "These decisions are committed.",
    "schedules.wait.before_commit": "Waiting runs whose predecessor has ended are started.",
    "schedules.wait.after_commit": "These starts are committed.",
    "grace.silent.before_commit": "The owner of a silent schedule is told.",
    "grace.silent.after_commit": "That the owner is told is committed.",
    "grace.recovered.before_commit": "The owner of a schedule that brought results again is told.",
    "grace.recovered.after_commit": "That they are told is committed.",
    "token.mint.before_commit": "A user's token is written.",
    "token.mint.after_commit": "A user's token is committed and was shown to nobody.",
    "token.own.before_commit": "A person asked for the token that they can see again; perhaps it was made just now.",
    "token.own.after_commit": "That token is committed and was shown to nobody.",
    "token.replace.before_commit": "The token that a person can see again has ended, and a new one is written.",
    "token.replace.after_commit": "The new one is committed and was shown to nobody.",
    "identity.meet.before_commit": "A user was made for somebody who talks to us for the first time.",
    "identity.meet.after_commit": "That user is committed.",
    "identity.bind.before_commit": "Somebody who talks to us is another user now.",
    "identity.bind.after_commit": "That is committed.",
    "identity.unbind.before_commit": "Nobody knows any more who talks there.",
    "identity.unbind.after_commit": "That is committed.",
    "message.withdraw.before_commit": "What waited of a message is taken back.",
    "message.withdraw.after_commit": "That it is taken back is committed.",
    "token.revoke.before_commit": "A user's token has ended.",
    "token.revoke.after_commit": "The end of a user's token is committed.",
    "token.in_query.before_commit": "The audit trail says that a token travelled in a URL.",
    "token.in_query.after_commit": "That entry is committed.",
    "user.create.before_commit": "A user and the audit entry are written.",
    "user.create.after_commit": "A new user is committed.",
    "user.ensure_staff.before_commit": "A superuser is written.",
    "user.ensure_staff.after_commit": "A superuser is committed.",
    "user.freeze.before_commit": "A user is frozen or thawed, the jobs of a frozen one have ended.",
    "user.freeze.after_commit": "The freezing or thawing is committed.",
}
"""Every point, with what has happened when it is reached. `kernel.transactions.whole` reaches the pairs."""


class UnknownFailpoint(ValueError):
    """LETSERVER_FAILPOINT names no point, or not as `name:n[:file]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Armed:
    name: str
    at: int
    file: str
    reached: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


_armed: _Armed | None = None


def arm(text: str) -> None:
    """Arm the point that `text` names; nothing for an empty one. Raises UnknownFailpoint."""
    global _armed
    name, _, rest = text.partition(":")
    number, _, file = rest.partition(":")
    if text and (name not in POINTS or not number.isdecimal() or int(number) < 1):
        raise UnknownFailpoint(f"{VARIABLE}: {text!r} does not do; write name:n or name:n:file with a known name.")
    _armed = _Armed(name=name, at=int(number), file=file) if text else None


def reach(name: str) -> None:
    """Die here if this point is armed and this is the n-th time."""
    # Each look at a count is one step of the interpreter: two threads never see the same number.
    if _armed is not None and _armed.name == name and next(_armed.reached) == _armed.at:
        _die(_armed)


def _die(armed: _Armed) -> None:
    if armed.file:
        descriptor = os.open(armed.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{armed.name} {os.getpid()}\n".encode())
        os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)
