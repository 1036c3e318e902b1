"""Serializers for the OpenAPI schema only: the bodies themselves are read and rendered by `jobs.wire`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.api.reading import PRIORITY_LIMIT, TTL_LIMIT_SECONDS
from jobs.argv import WORDS_LIMIT
from jobs.following import RETRIES_LIMIT
from jobs.models import (
    CALLBACK_LENGTH,
    KEY_LENGTH,
    MESSAGE_LENGTH,
    QUEUE_NAME_LENGTH,
    RATE_KEY_LENGTH,
    SOURCE_LENGTH,
    TASK_LENGTH,
)
from jobs.states import JobStatus, Move
from notifications.models import Format, Level


class LineSerializer(serializers.Serializer[Any]):
    """A job in one line."""

    message = serializers.CharField(
        help_text="`<agent name or alias> <job text>`; runs of white space become one space."
    )


class SubmissionSerializer(serializers.Serializer[Any]):
    """A job."""

    agent = serializers.CharField(
        required=False, max_length=100, help_text="Id, name or alias of one of your agents. This or `queue`."
    )
    queue = serializers.CharField(
        required=False, max_length=QUEUE_NAME_LENGTH, help_text="The name of a queue, which says where the job runs."
    )
    message = serializers.CharField(
        required=False, max_length=MESSAGE_LENGTH, help_text="The text, kept as it is. This or `argv`."
    )
    argv = serializers.ListField(
        child=serializers.CharField(allow_blank=True),
        required=False,
        min_length=1,
        max_length=WORDS_LIMIT,
        help_text="A command as words, which no shell and no splitting touches; numbers become words. `message` is "
        "then what a shell would split into them.",
    )
    wait_until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Lets the job wait for an agent that is offline, until then."
    )
    ttl = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=TTL_LIMIT_SECONDS, help_text="The same, in seconds."
    )
    callback = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=CALLBACK_LENGTH,
        help_text="Empty: the owner is told in their chat; `disable`: nobody; a URL: it is called at every move.",
    )
    source = serializers.CharField(  # type: ignore[assignment]  # a field of ours, an attribute of theirs
        required=False, allow_blank=True, max_length=SOURCE_LENGTH, help_text="Where the job comes from, for lists."
    )


class FollowerSerializer(serializers.Serializer[Any]):
    """A job that follows the end of another. It may have a `then` of its own."""

    on = serializers.ChoiceField(choices=["success", "failure"], help_text="`failure`: when no attempt is left.")
    agent = serializers.CharField(max_length=100, help_text="Id, name or alias of one of your agents.")
    message = serializers.CharField(max_length=MESSAGE_LENGTH)


class QueuedSerializer(SubmissionSerializer):
    """A job, with what queues and further attempts need to know of it."""

    task = serializers.CharField(
        required=False, allow_blank=True, max_length=TASK_LENGTH, help_text="What kind of job it is."
    )
    priority = serializers.IntegerField(
        required=False, min_value=-PRIORITY_LIMIT, max_value=PRIORITY_LIMIT, help_text="The higher starts first."
    )
    distinct_key = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=KEY_LENGTH,
        help_text="One job with this key at a time. A distinct queue takes the task, else the message.",
    )
    rate_key = serializers.CharField(
        required=False, allow_blank=True, max_length=RATE_KEY_LENGTH, help_text="What the queue's rate counts by."
    )
    retry = serializers.IntegerField(
        required=False, min_value=0, max_value=RETRIES_LIMIT, help_text="How many more attempts may follow a failure."
    )
    backoff = serializers.JSONField(
        required=False,
        help_text='Pauses between attempts: seconds `[10, 60, 300]`, or `{"base": 5, "factor": 2, "limit": 3600}`.',
    )
    idempotent = serializers.BooleanField(
        required=False, help_text="It may run twice, so it is tried again also where nobody knows how it ended."
    )
    then = FollowerSerializer(many=True, required=False, help_text="1 to 5 jobs that follow its end.")
    notify = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="When somebody is told of its end: docs/schedules.md. `name` says with which jobs it is compared.",
    )


class SystemJobSerializer(serializers.Serializer[Any]):
    """A job for an agent of any user."""

    user_id = serializers.CharField()
    agent_id = serializers.CharField(help_text="Id of an agent of that user.")
    message = serializers.CharField(max_length=MESSAGE_LENGTH)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=SOURCE_LENGTH, help_text="`system` without it."
    )
    callback = serializers.CharField(required=False, allow_blank=True, max_length=CALLBACK_LENGTH)


class ReportSerializer(serializers.Serializer[Any]):
    """What an agent says of a job. Every field may be missing; old agents send `result` only."""

    result = serializers.CharField(
        required=False, allow_blank=True, help_text="Output; 1 MiB of it is kept, head and tail."
    )
    exit_code = serializers.IntegerField(required=False, allow_null=True)
    signal = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=255)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=64)
    truncated = serializers.BooleanField(required=False)
    size_bytes = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    log_size = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, help_text="Bytes of log that were or will be sent."
    )
    offer = serializers.IntegerField(required=False, allow_null=True, min_value=0)


class AgentJobSerializer(serializers.Serializer[Any]):
    """A job as its agent gets it."""

    id = serializers.CharField()
    message = serializers.CharField()

    attempt = serializers.IntegerField(required=False, help_text="This and the following under protocol 2 only.")
    offer = serializers.IntegerField(
        required=False, help_text="How often the job was handed out; sent back with the acknowledgement."
    )
    lease_s = serializers.IntegerField(required=False, help_text="Seconds from one beat to the next, at most.")
    argv = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="The words of a job that was sent as words."
    )
    params = serializers.DictField(required=False, help_text="What was said beside the text, such as `confirmed`.")
    ack_s = serializers.IntegerField(required=False, help_text="Seconds to acknowledge the job.")
    source = serializers.CharField(required=False)  # type: ignore[assignment]


class RunningJobSerializer(serializers.Serializer[Any]):
    """A job that an agent runs."""

    id = serializers.CharField()


class BeatSerializer(serializers.Serializer[Any]):
    """A beat."""

    running = RunningJobSerializer(many=True, required=False)


class BeatAnswerSerializer(serializers.Serializer[Any]):
    """What a beat brings."""

    cancel = serializers.ListField(child=serializers.CharField(), help_text="Ids of jobs to end.")
    lease_s = serializers.IntegerField(help_text="Seconds until the leases end, unless another beat comes.")


class WhoAmISerializer(serializers.Serializer[Any]):
    """Whose agent a token is."""

    id = serializers.CharField()
    name = serializers.CharField()
    owner = serializers.CharField()
    protocol = serializers.IntegerField()
    lease_s = serializers.IntegerField()


class LogPartSerializer(serializers.Serializer[Any]):
    """A part of a job's log."""

    offset = serializers.IntegerField()
    next = serializers.IntegerField(help_text="The offset to ask for next.")
    text = serializers.CharField()
    complete = serializers.BooleanField(help_text="There is nothing beyond `next`, and there will be nothing.")
    status = serializers.ChoiceField(choices=JobStatus.choices)
    exit_code = serializers.IntegerField(allow_null=True)


class OutputSerializer(serializers.Serializer[Any]):
    """What a job put out."""

    text = serializers.CharField()
    size_bytes = serializers.IntegerField()
    truncated = serializers.BooleanField()
    exit_code = serializers.IntegerField(allow_null=True)
    signal = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()


class EventSerializer(serializers.Serializer[Any]):
    """One line of a job's timeline."""

    number = serializers.IntegerField()
    at = serializers.DateTimeField()
    move = serializers.ChoiceField(choices=Move.choices)
    before = serializers.ChoiceField(choices=JobStatus.choices, allow_null=True)
    after = serializers.ChoiceField(choices=JobStatus.choices)
    actor = serializers.CharField()
    text = serializers.CharField()


class JobSerializer(serializers.Serializer[Any]):
    """A job as its owner gets it; times in UTC or null."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    agent = serializers.CharField(allow_null=True, help_text="The agent's name; null until a group's agent takes it.")
    queue = serializers.CharField(allow_null=True, help_text="The queue's name.")
    message = serializers.CharField()
    task = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    callback = serializers.CharField()
    status = serializers.ChoiceField(choices=JobStatus.choices)
    result = serializers.CharField(help_text="The first 1,024 characters of the output.")
    late = serializers.BooleanField(help_text="The result came after the job had expired.")
    priority = serializers.IntegerField()
    attempt = serializers.IntegerField()
    retries = serializers.IntegerField(help_text="How many more attempts may follow this one.")
    root_id = serializers.CharField()
    parent_id = serializers.CharField(allow_null=True, help_text="What made it: a delayed job, schedule or job.")
    created_at = serializers.DateTimeField()
    active_at = serializers.DateTimeField()
    wait_until = serializers.DateTimeField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    sent_at = serializers.DateTimeField(allow_null=True)
    running_at = serializers.DateTimeField(allow_null=True)
    succeeded_at = serializers.DateTimeField(allow_null=True)
    failed_at = serializers.DateTimeField(allow_null=True)
    expired_at = serializers.DateTimeField(allow_null=True)
    canceled_at = serializers.DateTimeField(allow_null=True)
    parked_at = serializers.DateTimeField(allow_null=True, help_text="Since when it is a dead letter.")


class WholeJobSerializer(JobSerializer):
    """A job with its output, null before its end, and its timeline, oldest first."""

    notify = serializers.DictField(allow_null=True, help_text="When somebody is told of its end.")
    output = OutputSerializer(allow_null=True)
    events = EventSerializer(many=True)


class JobPageSerializer(serializers.Serializer[Any]):
    """Jobs, newest first."""

    items = JobSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `cursor` for the next page; null at the end.")


class JobNewsSerializer(serializers.Serializer[Any]):
    """A move of a job."""

    id = serializers.CharField(help_text="The job's.")
    agent_id = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    status = serializers.ChoiceField(choices=JobStatus.choices)
    move = serializers.ChoiceField(choices=Move.choices)
    seq = serializers.IntegerField(help_text="Counts the moves of the job.")
    text = serializers.CharField(help_text="What its agent said with it.")


class MessageNewsSerializer(serializers.Serializer[Any]):
    """A message that was accepted."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    agent_id = serializers.CharField(allow_null=True)
    level = serializers.ChoiceField(choices=Level.choices)
    title = serializers.CharField()
    text = serializers.CharField()
    format = serializers.ChoiceField(choices=Format.choices)
    source = serializers.CharField()  # type: ignore[assignment]
    color = serializers.CharField()
    url = serializers.CharField()
    created_at = serializers.DateTimeField()


class NewsSerializer(serializers.Serializer[Any]):
    """One thing that happened; `job` or `message` is set."""

    id = serializers.CharField(help_text="By which to drop what was seen.")
    type = serializers.ChoiceField(choices=["job:status", "message"])
    at = serializers.DateTimeField()
    job = JobNewsSerializer(allow_null=True)
    message = MessageNewsSerializer(allow_null=True)


class NewsPageSerializer(serializers.Serializer[Any]):
    """What happened, oldest first."""

    items = NewsSerializer(many=True)
    next = serializers.CharField(help_text="Send it as `since`.")


class CountsSerializer(serializers.Serializer[Any]):
    """How much a user has."""

    agents = serializers.IntegerField()
    online = serializers.IntegerField()
    jobs_waiting = serializers.IntegerField()


class StandingSerializer(serializers.Serializer[Any]):
    """How much of a limit is used: of your agents, or of what a platform allows."""

    name = serializers.CharField()
    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    recovers_at = serializers.DateTimeField(
        allow_null=True, help_text="null: it does not by itself. Delete an agent, or write to the account."
    )


class MeSerializer(serializers.Serializer[Any]):
    """Whose token it is, and what it may do."""

    id = serializers.CharField()
    username = serializers.CharField()
    scope = serializers.ChoiceField(choices=["full", "jobs", "messages"])
    counts = CountsSerializer()
    limits = StandingSerializer(many=True)
