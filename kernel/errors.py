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
    """Base of all errors meant for the caller. `sentence` may hold %(name)s places that `params` fills.

    `details` are fields of the answer beside code and sentence, for programs.
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
        return str(self.sentence) % self.params if self.params else str(self.sentence)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidRequest(AppError):
    """The body, a field or a query parameter is not what the call takes."""

    status = 400
    code = "InvalidRequest"
    sentence = _("The request is not valid.")


class InvalidToken(AppError):
    """No Authorization header, another scheme, or a token that cannot be one of ours."""

    status = 400
    code = "InvalidToken"
    sentence = _("Send the token in the header: Authorization: Bearer <token>.")


class InvalidMessage(AppError):
    """The text of a job is missing, too long or holds characters that cannot travel."""

    status = 400
    code = "InvalidMessage"
    sentence = _("The message is missing or not valid.")


class InvalidDuration(AppError):
    """A length of time is missing, not one that we read, or out of range. The code is the original's."""

    status = 400
    code = "InvalidDuration"
    sentence = _("Write a length of time such as 90s, 1h30m or 15d.")


class InvalidAgent(AppError):
    """The agent is there but cannot take a plain job now."""

    status = 400
    code = "InvalidAgent"
    sentence = _("The agent %(name)s is offline. Start it, or send the job with wait_until or ttl.")


class NoChannel(AppError):
    """There is no way to reach the person."""

    status = 400
    code = "NoChannel"
    sentence = _("There is no channel for this. Add one on the channels page, or follow the official account.")


class UnavailableAgent(AppError):
    """The agent that calls is switched off by its owner."""

    status = 400
    code = "UnavailableAgent"
    sentence = _("This agent is disabled. Enable it on the agents page.")


class AgentOnline(AppError):
    """An agent that is online is deleted only by force."""

    status = 400
    code = "AgentOnline"
    sentence = _("The agent is online. Stop it first, or delete it with force.")


class JobFinished(AppError):
    """The job has ended already; the first result stands."""

    status = 400
    code = "JobFinished"
    sentence = _("The job has already finished.")


class JobNotFound(AppError):
    """The job is not being worked on, so it cannot report progress or an end."""

    status = 400
    code = "JobNotFound"
    sentence = _("The job is not running.")


class Unauthorized(AppError):
    """The token is well formed but unknown or revoked. Never used for a fault of ours: old agents end on it."""

    status = 401
    code = "Unauthorized"
    sentence = _("The token is unknown or has been revoked.")


class Forbidden(AppError):
    """A known caller with the wrong kind of token or scope."""

    status = 403
    code = "Forbidden"
    sentence = _("This token is not allowed to do that.")


class NotFound(AppError):
    """No such thing for this owner; what belongs to somebody else is not there either."""

    status = 404
    code = "NotFound"
    sentence = _("There is no such thing.")


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


class MethodNotAllowed(AppError):
    """The path exists, the method does not."""

    status = 405
    code = "MethodNotAllowed"
    sentence = _("This path does not take that method.")


class NameTaken(AppError):
    """Another agent of the same owner has this name or alias."""

    status = 409
    code = "NameTaken"
    sentence = _("The name %(name)s is already in use.")


class KeyTaken(AppError):
    """Another delayed job of the same owner waits under this key: `delayed_id`."""

    status = 409
    code = "KeyTaken"
    sentence = _("A delayed job with this key waits already: %(id)s.")

    def __init__(self, delayed_id: str) -> None:
        super().__init__(params={"id": delayed_id})
        self.delayed_id = delayed_id


class NotScheduled(AppError):
    """The delayed job has fired or was canceled: there is nothing left to change."""

    status = 409
    code = "NotScheduled"
    sentence = _("This delayed job has fired already, or was canceled.")


class AgentLimit(AppError):
    """The owner has as many agents as they may have. Waiting changes nothing, so it is not LimitExceeded."""

    status = 409
    code = "AgentLimit"
    sentence = _("You have %(used)s agents and may have %(limit)s. Delete one that you no longer need.")


class QueueDraining(AppError):
    """The queue only finishes what it has."""

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
    """The queue has agents, which fetch its jobs themselves."""

    status = 409
    code = "QueueNotPulled"
    sentence = _("The queue %(name)s runs on agents, which fetch its jobs themselves.")


class QueueBusy(AppError):
    """The queue still has something to do, or something will come to it."""

    status = 409
    code = "QueueBusy"
    sentence = _("The queue %(name)s still has work: jobs, delayed jobs or schedules. End them first.")


class ScheduleLimit(AppError):
    """The owner has as many schedules as they may have. Waiting changes nothing, so it is not LimitExceeded."""

    status = 409
    code = "ScheduleLimit"
    sentence = _("You have %(used)s schedules and may have %(limit)s. Delete one that you no longer need.")


class JobCanceled(AppError):
    """The owner took the job back: do not start it, or end it."""

    status = 409
    code = "JobCanceled"
    sentence = _("The job was canceled by its owner.")


class JobTaken(AppError):
    """This offer of the job does not hold any more: do not start it."""

    status = 409
    code = "JobTaken"
    sentence = _("This offer of the job is over. Ask for the next job.")


class StateLimit(AppError):
    """As many entries of the state store as one owner may have."""

    status = 409
    code = "StateLimit"
    sentence = _("There are %(limit)s entries already, and no more may be kept. Delete one that you no longer need.")


class PreconditionFailed(AppError):
    """`If-Match` or `If-None-Match` says something else than what is there: read it again and decide anew."""

    status = 412
    code = "PreconditionFailed"
    sentence = _("It is no longer what you read, or was there already. Read it again.")


class TooLarge(AppError):
    """The body is over the cap of this call."""

    status = 413
    code = "TooLarge"
    sentence = _("The request is larger than %(limit)s bytes.")


class IdempotencyMismatch(AppError):
    """The key was used before with another body."""

    status = 422
    code = "IdempotencyMismatch"
    sentence = _("This Idempotency-Key was already used with another request.")


class LimitExceeded(AppError):
    """Too many calls with one token, or too many unknown tokens from one address, within a minute."""

    status = 429
    code = "LimitExceeded"
    sentence = _("Too many calls in one minute. Please try again later.")


class QueueFull(AppError):
    """As many jobs wait in the queue as its owner lets wait."""

    status = 429
    code = "QueueFull"
    sentence = _("The queue %(name)s is full: %(limit)s jobs wait. Send the job again later.")


class Unavailable(AppError):
    """A fault of ours that passes: the caller may repeat the same request."""

    status = 503
    code = "Unavailable"
    sentence = _("The service is busy. Please try again in a moment.")

    def __init__(self, sentence: str | _StrPromise | None = None, *, retry_after_seconds: int = 1) -> None:
        super().__init__(sentence, retry_after_seconds=retry_after_seconds)
