"""The one tree of errors that a caller can see.

An error has a stable `code`, an HTTP `status` and a translated sentence. Services return or raise these; the
renderers (`kernel.http.answers` for programs, `letserver.errors` for pages) turn them into answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class AppError(Exception):
    """Base of all errors meant for the caller. `params` fill the `%(name)s` placeholders of `sentence`.

    A param may be another error: its message is put there, in the language of the answer.

    `details` are further fields of the JSON answer, for programs.
    """

    status = 500
    code = "ServerError"
    sentence: str | _StrPromise = _("Something went wrong on our side. Please try again.")

    def __init__(
        self,
        sentence: str | _StrPromise | None = None,
        *,
        params: dict[str, object] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(self.code)
        if sentence is not None:
            self.sentence = sentence
        self.params = params or {}
        self.details: dict[str, str] = {}
        self.retry_after_seconds = retry_after_seconds

    @property
    def message(self) -> str:
        """The sentence in the language that is active now."""
        sentence = str(self.sentence)
        if not self.params:
            return sentence
        return sentence % {
            name: value.message if isinstance(value, AppError) else value for name, value in self.params.items()
        }

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidRequest(AppError):
    """The body, a field or a query parameter is not valid for this call."""

    status = 400
    code = "InvalidRequest"
    sentence = _("The request is not valid.")


class InvalidToken(AppError):
    """The Authorization header is missing, has another scheme, or holds a malformed token."""

    status = 400
    code = "InvalidToken"
    sentence = _("Send the token in the header: Authorization: Bearer <token>.")


class InvalidMessage(AppError):
    """The text of a job is missing, too long or holds characters that cannot be stored."""

    status = 400
    code = "InvalidMessage"
    sentence = _("The message is missing or not valid.")


class InvalidDuration(AppError):
    """A length of time is missing, malformed or out of range. The code is the original's."""

    status = 400
    code = "InvalidDuration"
    sentence = _("Write a length of time such as 90s, 1h30m or 15d.")


class InvalidAgent(AppError):
    """The agent exists but is disabled, or is offline and the job may not wait for it."""

    status = 400
    code = "InvalidAgent"
    sentence = _("The agent %(name)s is offline. Start it, or send the job with wait_until or ttl.")


class NoChannel(AppError):
    """The person has no channel that can carry the message."""

    status = 400
    code = "NoChannel"
    sentence = _("There is no channel for this. Add one on the channels page, or follow the official account.")


class UnavailableAgent(AppError):
    """The calling agent was disabled by its owner."""

    status = 400
    code = "UnavailableAgent"
    sentence = _("This agent is disabled. Enable it on the agents page.")


class AgentOnline(AppError):
    """The agent is online; only `force` deletes it."""

    status = 400
    code = "AgentOnline"
    sentence = _("The agent is online. Stop it first, or delete it with force.")


class JobFinished(AppError):
    """The job has already ended; its first result is kept."""

    status = 400
    code = "JobFinished"
    sentence = _("The job has already finished.")


class JobNotFound(AppError):
    """The job is not running, so its agent cannot report progress or an end."""

    status = 400
    code = "JobNotFound"
    sentence = _("The job is not running.")


class Unauthorized(AppError):
    """The token is well formed but unknown or revoked. Old agents exit on it, so a server fault never answers it."""

    status = 401
    code = "Unauthorized"
    sentence = _("The token is unknown or has been revoked.")


class Forbidden(AppError):
    """The caller is known, but the token has the wrong kind or scope."""

    status = 403
    code = "Forbidden"
    sentence = _("This token is not allowed to do that.")


class NotFound(AppError):
    """The owner has no such object. Objects of other owners answer the same."""

    status = 404
    code = "NotFound"
    sentence = _("There is no such object.")


class AgentNotFound(NotFound):
    """No agent of this owner has that id, name or alias."""

    code = "AgentNotFound"
    sentence = _("There is no agent called %(name)s.")


class ScheduleNotFound(NotFound):
    """No schedule of this owner has that id or name."""

    code = "ScheduleNotFound"
    sentence = _("There is no schedule called %(name)s.")


class QueueNotFound(NotFound):
    """No queue of this owner has that name."""

    code = "QueueNotFound"
    sentence = _("There is no queue called %(name)s.")


class ChannelNotFound(NotFound):
    """No channel of this owner has that name or id."""

    code = "ChannelNotFound"
    sentence = _("There is no channel called %(name)s.")


class SlowRequest(AppError):
    """The headers or the body of a request did not arrive in time."""

    status = 408
    code = "SlowRequest"
    sentence = _("The request did not arrive in time.")


class HeadTooLarge(AppError):
    """A request has too many bytes or too many lines before its body, or around the parts of its body."""

    status = 431
    code = "HeadTooLarge"
    sentence = _("The request line and the headers are too long: 64 KiB and 100 headers at most.")


class TooManyConnections(AppError):
    """The process has as many connections as it may, and each of them waits for an answer."""

    status = 503
    code = "TooManyConnections"
    sentence = _("The server has too many connections. Try again in a moment.")


class MethodNotAllowed(AppError):
    """The path exists, but not with this method."""

    status = 405
    code = "MethodNotAllowed"
    sentence = _("This path does not take that method.")


class NameTaken(AppError):
    """Another object of the same owner has this name or alias."""

    status = 409
    code = "NameTaken"
    sentence = _("The name %(name)s is already in use.")


class KeyTaken(AppError):
    """Another delayed job of the same owner waits with this key: `delayed_id`."""

    status = 409
    code = "KeyTaken"
    sentence = _("A delayed job with this key is already waiting: %(id)s.")

    def __init__(self, delayed_id: str) -> None:
        super().__init__(params={"id": delayed_id})
        self.delayed_id = delayed_id


class NotScheduled(AppError):
    """The delayed job has fired or was canceled, so it cannot change."""

    status = 409
    code = "NotScheduled"
    sentence = _("This delayed job has fired already, or was canceled.")


class AgentLimit(AppError):
    """The owner has reached the limit of agents. Waiting does not help, so it is not LimitExceeded."""

    status = 409
    code = "AgentLimit"
    sentence = _("You have %(used)s agents and may have %(limit)s. Delete one that you no longer need.")


class QueueDraining(AppError):
    """The queue is draining: it finishes its jobs and takes no new ones."""

    status = 409
    code = "QueueDraining"
    sentence = _("The queue %(name)s is being drained and takes no jobs. Resume it first.")


class QueueDuplicate(AppError):
    """A job with the same distinct key waits or runs in the queue: `job_id`."""

    status = 409
    code = "QueueDuplicate"
    sentence = _("The queue %(name)s already has this job: %(job_id)s.")

    def __init__(self, *, name: str, job_id: str) -> None:
        super().__init__(params={"name": name, "job_id": job_id})
        self.job_id = job_id
        self.details = {"job_id": job_id}


class QueueNotPulled(AppError):
    """Agents fetch the jobs of this queue, so a program cannot pull from it."""

    status = 409
    code = "QueueNotPulled"
    sentence = _("The queue %(name)s cannot be pulled from, because its jobs run on agents.")


class QueueBusy(AppError):
    """The queue still has jobs, or a delayed job or schedule names it."""

    status = 409
    code = "QueueBusy"
    sentence = _("The queue %(name)s still has work: jobs, delayed jobs or schedules. End them first.")


class ScheduleLimit(AppError):
    """The owner has reached the limit of schedules. Waiting does not help, so it is not LimitExceeded."""

    status = 409
    code = "ScheduleLimit"
    sentence = _("You have %(used)s schedules and may have %(limit)s. Delete one that you no longer need.")


class JobCanceled(AppError):
    """The owner canceled the job: do not start it, or stop it."""

    status = 409
    code = "JobCanceled"
    sentence = _("The job was canceled by its owner.")


class JobTaken(AppError):
    """This offer of the job has expired: do not start it."""

    status = 409
    code = "JobTaken"
    sentence = _("This offer of the job is over. Ask for the next job.")


class TokenLimit(AppError):
    """The owner has as many working tokens as they may have."""

    status = 409
    code = "TokenLimit"
    sentence = _("You have %(used)s tokens and may have %(limit)s. Revoke one that you no longer need.")


class QueueLimit(AppError):
    """The owner has as many queues as they may have."""

    status = 409
    code = "QueueLimit"
    sentence = _("You have %(used)s queues and may have %(limit)s. Remove one that you no longer need.")


class DelayedJobLimit(AppError):
    """The owner has as many scheduled delayed jobs as they may have."""

    status = 409
    code = "DelayedJobLimit"
    sentence = _("You have %(used)s delayed jobs and may have %(limit)s. Cancel those that you no longer need.")


class StateLimit(AppError):
    """The owner has reached the limit of entries in the state store."""

    status = 409
    code = "StateLimit"
    sentence = _("You have %(limit)s entries, which is the limit. Delete one that you no longer need.")


class PreconditionFailed(AppError):
    """`If-Match` or `If-None-Match` does not hold for the stored entry: read the entry again, then decide."""

    status = 412
    code = "PreconditionFailed"
    sentence = _("The entry has changed since you read it, or exists already. Read it again.")


class TooLarge(AppError):
    """The body is larger than this call allows."""

    status = 413
    code = "TooLarge"
    sentence = _("The request is larger than %(limit)s bytes.")


class IdempotencyMismatch(AppError):
    """The key was used before with another body."""

    status = 422
    code = "IdempotencyMismatch"
    sentence = _("This Idempotency-Key was already used with another request.")


class LimitExceeded(AppError):
    """Too many calls of one person or agent, or too many unknown tokens from one address, within a minute."""

    status = 429
    code = "LimitExceeded"
    sentence = _("Too many calls in one minute. Please try again later.")


class QueueFull(AppError):
    """The queue has reached its limit of waiting jobs."""

    status = 429
    code = "QueueFull"
    sentence = _("The queue %(name)s is full: %(limit)s jobs wait. Send the job again later.")


class JobLimit(AppError):
    """As many jobs of the owner wait as may wait."""

    status = 429
    code = "JobLimit"
    sentence = _(
        "%(limit)s of your jobs wait for an agent, and no more may wait. Start the agents that should run them or "
        "cancel jobs that you no longer need, then send the job again."
    )


class Unavailable(AppError):
    """The server cannot answer now: the caller may repeat the same request."""

    status = 503
    code = "Unavailable"
    sentence = _("The service is busy. Please try again in a moment.")

    def __init__(self, sentence: str | _StrPromise | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(sentence, retry_after_seconds=retry_after_seconds)
