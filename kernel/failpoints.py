"""Failpoints: named places before and after every commit and side effect, where a test can kill the process.

`reach("writer.together.before_commit")` does nothing, unless LETSERVER_FAILPOINT names that point:

- `name:n` or `name:n:file`: the process that reaches it the n-th time writes a line into the file and kills itself with
  SIGKILL, which loses as much as a power cut.
- `raise:name:n`: the n-th time, `reach` raises FailpointError, as a bug there would.
"""

from __future__ import annotations

import itertools
import os
import signal
from dataclasses import dataclass, field

VARIABLE = "LETSERVER_FAILPOINT"

POINTS = {
    "writer.together.before_commit": "The writer has written a batch; no caller was answered.",
    "writer.together.after_commit": "A batch is committed and its bells are queued; no caller was answered.",
    "writer.one_by_one.before_commit": "The writer has written a batch item by item, because together it failed.",
    "writer.one_by_one.after_commit": "Such a batch is committed; no caller was answered.",
    "log.before_commit": "A piece of a running job's log is written.",
    "log.after_commit": "A piece of a log is committed; its agent was not answered.",
    "run_one.before_commit": "A view has written one item.",
    "run_one.after_commit": "A view's item is committed; its caller was not answered.",
    "put_back.before_queue": "A claimed job's answer cannot be sent; the writer does not know it yet.",
    "put_back.after_queue": "The writer knows that a claimed job is to wait again.",
    "put_back.before_commit": "Jobs whose agent disconnected before the answer wait again; the transaction is open.",
    "answer.before_send": "The answer of a hot call is known, and everything it says is committed.",
    "answer.after_send": "The answer of a hot call was handed to the server.",
    "clock.before_commit": "The gateway's clock has beaten, and shifted deadlines if there was a gap.",
    "clock.after_commit": "The beat is committed.",
    "overdue.before_commit": "The sweep has expired leases and waits.",
    "overdue.after_commit": "Those expiries are committed.",
    "offline.before_commit": "The sweep has marked silent agents offline and ended the jobs that cannot wait.",
    "offline.after_commit": "The marks and ends are committed.",
    "absent.before_commit": "The sweep has ended jobs that were added while their agent went offline.",
    "absent.after_commit": "Those ends are committed.",
    "release.before_commit": "Delayed jobs that are due are marked as fired, their jobs are written.",
    "release.after_commit": "They are committed and their bells are queued.",
    "delayed.tell.before_commit": "Notices about delayed jobs that wait for their agents are written.",
    "delayed.tell.after_commit": "Those notices are committed.",
    "restore.skip.before_commit": "After a restore, delayed jobs that are due are canceled.",
    "restore.skip.after_commit": "The cancellation is committed.",
    "watch.claim.before_commit": "A worker has counted its attempt to evaluate ends.",
    "watch.claim.after_commit": "The attempt is counted; no end is evaluated.",
    "watch.store.before_commit": "An end is evaluated; its memory and its message are written.",
    "watch.store.after_commit": "The evaluation of an end is committed.",
    "ticker.before_commit": "Staff hold the due scans, or let them run.",
    "ticker.after_commit": "The change of the due scans is committed.",
    "keys.before_commit": "The sweep has freed old idempotency keys.",
    "keys.after_commit": "The keys are free.",
    "retention.before_commit": "The sweep has deleted ended jobs with their events, outputs and logs.",
    "retention.after_commit": "That batch is gone; there may be more.",
    "lost_bells.before_ring": "The sweep has found the rows whose bell was lost; none has rung.",
    "lost_bells.after_ring": "The sweep has rung again.",
    "bell.before_queue": "A move is committed; its bell is not queued.",
    "bell.before_handlers": "The ringer has taken a bell; no handler has run.",
    "bell.after_handlers": "Every handler of the bell has run.",
    "flag.before_set": "The ringer is about to set an agent's flag in Redis and to notify the gateways.",
    "flag.after_set": "The flag is set and the gateways are notified.",
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
    "deliver.claim.before_commit": "A courier has counted its attempt at a delivery.",
    "deliver.claim.after_commit": "The attempt is counted; nothing was sent.",
    "deliver.before_send": "A provider is about to be called.",
    "deliver.after_send": "The provider has answered, or not; only this process knows.",
    "deliver.finish.before_commit": "The outcome of the attempt is written.",
    "deliver.finish.after_commit": "The outcome of the attempt is committed.",
    "deliver.replay.before_commit": "A dead letter is scheduled for another attempt.",
    "deliver.replay.after_commit": "The other attempt is committed.",
    "action.take.before_commit": "An action is marked as used; its job is not sent.",
    "action.take.after_commit": "The mark is committed; its job is not sent.",
    "choice.before_commit": "A number was chosen in a chat: the action is taken and its job is written.",
    "choice.after_commit": "Both are committed; the person was not answered.",
    "inbound.before_commit": "The call of a platform, its effects and its answer are written.",
    "inbound.after_commit": "They are committed; the platform was not answered.",
    "later.before_commit": "A postponed answer is stored as a message and marked as given.",
    "later.after_commit": "Both are committed.",
    "invitation.before_commit": "An invited person has joined: both sides may have one more agent.",
    "invitation.after_commit": "The invitation is committed.",
    "code.bind.before_commit": "A new code to bind has replaced the previous one.",
    "code.bind.after_commit": "The new code is committed; it was not shown.",
    "code.take.before_commit": "A code to bind was used, or a wrong one was counted.",
    "code.take.after_commit": "The use of the code is committed; the account is not bound yet.",
    "code.login.before_commit": "A browser's new login code and link have replaced the previous ones.",
    "code.login.after_commit": "They are committed; they were not shown.",
    "code.approve.before_commit": "A person has approved the login of a browser.",
    "code.approve.after_commit": "The approval is committed; the person was not answered.",
    "code.collect.before_commit": "A browser has collected the approval of its login.",
    "code.collect.after_commit": "The login is committed; the browser was not answered.",
    "channel.create.before_commit": "A channel and the audit entry are written.",
    "channel.create.after_commit": "A new channel is committed.",
    "channel.update.before_commit": "A channel was changed.",
    "channel.update.after_commit": "The change of a channel is committed.",
    "channel.ask.before_commit": "Another confirmation mail is written.",
    "channel.ask.after_commit": "The confirmation mail is committed.",
    "channel.confirm.before_commit": "The owner of a mailbox has confirmed it.",
    "channel.confirm.after_commit": "The confirmation is committed.",
    "channel.delete.before_commit": "A channel was removed.",
    "channel.delete.after_commit": "The removal of a channel is committed.",
    "channel.ensure.before_commit": "A person's channel at a platform was made or switched on.",
    "channel.ensure.after_commit": "That channel is committed.",
    "channel.shut.before_commit": "A person has left; their channel was switched off.",
    "channel.shut.after_commit": "The switching off is committed.",
    "queue.put.before_commit": "A queue was made or changed; its waiting jobs have its new agent.",
    "queue.put.after_commit": "A queue is committed.",
    "queue.state.before_commit": "A queue was paused, resumed or drained.",
    "queue.state.after_commit": "The new state of a queue is committed.",
    "queue.add.before_commit": "The jobs of one call are inserted into their queue.",
    "queue.add.after_commit": "They are committed; their sender was not answered.",
    "queue.flush.before_commit": "One batch of a queue's waiting jobs is canceled.",
    "queue.flush.after_commit": "That batch is committed; there may be more.",
    "queue.delete.before_commit": "A queue was removed.",
    "queue.delete.after_commit": "The removal of a queue is committed.",
    "dead.replay.before_commit": "Dead letters have new attempts.",
    "dead.replay.after_commit": "Those attempts are committed; their owner was not answered.",
    "dead.purge.before_commit": "Dead letters were removed from the list.",
    "dead.purge.after_commit": "The removal is committed.",
    "agent.create.before_commit": "An agent, its names, its token and the audit entry are written.",
    "agent.create.after_commit": "A new agent is committed; its token was not shown.",
    "agent.update.before_commit": "An agent was changed, its jobs are canceled if it was disabled.",
    "agent.update.after_commit": "The change of an agent is committed.",
    "agent.delete.before_commit": "An agent was deleted, its tokens and jobs have ended.",
    "agent.delete.after_commit": "The deletion of an agent is committed.",
    "agent.reset_token.before_commit": "An agent's old token has ended and a new one is written.",
    "agent.reset_token.after_commit": "The new token is committed and no answer has shown it.",
    "agent.touch.before_commit": "A view has written when it last saw agents.",
    "agent.touch.after_commit": "These times are committed.",
    "calendar.import.before_commit": "The days of a calendar's file are written.",
    "calendar.import.after_commit": "The days of a calendar's file are committed.",
    "calendar.warn.before_commit": "Warnings to staff about calendars that end soon are written.",
    "calendar.warn.after_commit": "Those warnings are committed.",
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
    "grace.silent.before_commit": "The notice about a silent schedule is written.",
    "grace.silent.after_commit": "The notice is committed.",
    "grace.recovered.before_commit": "The notice about a schedule that brought results again is written.",
    "grace.recovered.after_commit": "The notice is committed.",
    "token.mint.before_commit": "A user's token is written.",
    "token.mint.after_commit": "A user's token is committed; it was not shown.",
    "token.own.before_commit": "A person asked for the token that they can see again; it may be new.",
    "token.own.after_commit": "That token is committed; it was not shown.",
    "token.replace.before_commit": "The token that a person can see again is revoked, and a new one is written.",
    "token.replace.after_commit": "The new token is committed; it was not shown.",
    "identity.meet.before_commit": "A user was made for a chat account that wrote for the first time.",
    "identity.meet.after_commit": "That user is committed.",
    "identity.bind.before_commit": "A chat account was bound to another user.",
    "identity.bind.after_commit": "The binding is committed.",
    "identity.unbind.before_commit": "A chat account was unbound.",
    "identity.unbind.after_commit": "The unbinding is committed.",
    "message.withdraw.before_commit": "The waiting deliveries of a message are withdrawn.",
    "message.withdraw.after_commit": "The withdrawal is committed.",
    "token.revoke.before_commit": "A user's token is revoked.",
    "token.revoke.after_commit": "The revocation is committed.",
    "token.in_query.before_commit": "The audit entry about a token in a URL is written.",
    "token.in_query.after_commit": "That entry is committed.",
    "user.create.before_commit": "A user and the audit entry are written.",
    "user.create.after_commit": "A new user is committed.",
    "user.ensure_staff.before_commit": "A superuser is written.",
    "user.ensure_staff.after_commit": "A superuser is committed.",
    "user.freeze.before_commit": "A user is frozen or thawed; the jobs of a frozen user have ended.",
    "user.freeze.after_commit": "The freezing or thawing is committed.",
}
"""Every point, with what has happened when it is reached. `kernel.transactions.named_transaction` reaches the pairs."""


ERROR_POINTS = {
    "writer.after_take": "The writer has taken a batch from its queue; nothing is written.",
    "writer.before_answers": "The outcomes of a batch are known; the loop that answers the callers has none yet.",
    "writer.before_answer": "The loop is about to answer one caller of a batch.",
    "reader.before_question": "A reader's thread is about to ask the database.",
    "redis.before_replies": "Bytes from Redis have come; their replies are not handed out.",
    "principals.before_read": "The gateway is about to read which tokens and agents have changed.",
    "presence.before_flush": "The gateway is about to write when it saw each agent last.",
    "ringer.after_take": "The ringer has taken bells from its queue and not yet sorted them.",
    "courier.before_delivery": "A courier holds a place in a lane and has not looked at the delivery.",
}
"""Points inside the loops that a process depends on, outside their handling of errors; only `raise:` arms them."""

_RAISE = "raise:"


class UnknownFailpoint(ValueError):
    """LETSERVER_FAILPOINT is not `name:n[:file]` or `raise:name:n`, or names an unknown point."""


class FailpointError(Exception):
    """Raised by a point that is armed with `raise:`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Armed:
    name: str
    at: int
    file: str
    raises: bool
    reached: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


_armed: _Armed | None = None


def arm(text: str) -> None:
    """Arm the point that `text` names; an empty text disarms. Raises UnknownFailpoint."""
    global _armed
    raises = text.startswith(_RAISE)
    name, _, rest = text.removeprefix(_RAISE).partition(":")
    number, _, file = rest.partition(":")
    known = POINTS | ERROR_POINTS if raises else POINTS
    if text and (name not in known or not number.isdecimal() or int(number) < 1 or (raises and file)):
        raise UnknownFailpoint(
            f"{VARIABLE}: {text!r} is not valid. Write name:n, name:n:file or raise:name:n with a known name."
        )
    _armed = _Armed(name=name, at=int(number), file=file, raises=raises) if text else None


def reach(name: str) -> None:
    """Kill this process, or raise, if the point is armed and this is the n-th time."""
    # `next` on a count is atomic under the GIL, so two threads never see the same number.
    if _armed is not None and _armed.name == name and next(_armed.reached) == _armed.at:
        if _armed.raises:
            raise FailpointError(name)
        _die(_armed)


def _die(armed: _Armed) -> None:
    if armed.file:
        descriptor = os.open(armed.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{armed.name} {os.getpid()}\n".encode())
        os.fsync(descriptor)
    os.kill(os.getpid(), signal.SIGKILL)
