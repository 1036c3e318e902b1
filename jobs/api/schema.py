"""Serializers that draw answers, and bodies of the original's calls.

The modules that read our own bodies hold their serializers.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.api.order import OptionsSerializer
from jobs.models import CALLBACK_LENGTH, MESSAGE_LENGTH, SOURCE_LENGTH
from jobs.states import JobStatus, Move
from notifications.messages.wire import MessageNewsSerializer

LINE_PATTERN = r"\S\s+\S"
"""A line has two words at least."""


class _Line(serializers.CharField):
    pattern = LINE_PATTERN


class LineSerializer(serializers.Serializer[Any]):
    """A job in one line."""

    message = _Line(help_text="`<agent name or alias> <job text>`; the text is kept as written.")


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
    """A report of an agent about a job. Every field may be missing; old agents send `result` only."""

    result = serializers.CharField(
        required=False, allow_blank=True, help_text="Output; 1 MiB of it is kept, head and tail."
    )
    exit_code = serializers.IntegerField(required=False, allow_null=True, min_value=-(2**31), max_value=2**31 - 1)
    signal = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=255)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=64)
    truncated = serializers.BooleanField(required=False)
    size_bytes = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**53)
    log_size = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=2**53,
        help_text="Bytes of log that were or will be sent.",
    )
    offer = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**31)


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
    params = serializers.DictField(required=False, help_text="Facts beside the text, such as `confirmed`.")
    ack_s = serializers.IntegerField(required=False, help_text="Seconds to acknowledge the job.")
    source = serializers.CharField(required=False)  # type: ignore[assignment]


class RunningJobSerializer(serializers.Serializer[Any]):
    """A job that an agent runs."""

    id = serializers.CharField(allow_blank=True)


class BeatSerializer(serializers.Serializer[Any]):
    """A beat."""

    running = RunningJobSerializer(many=True, required=False)


class BeatAnswerSerializer(serializers.Serializer[Any]):
    """The answer to a heartbeat."""

    cancel = serializers.ListField(child=serializers.CharField(), help_text="Ids of jobs to end.")
    lease_s = serializers.IntegerField(help_text="Seconds until the leases end, unless another beat comes.")


class WhoAmISerializer(serializers.Serializer[Any]):
    """The agent of a token."""

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
    """The output of a job."""

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
    parent_id = serializers.CharField(allow_null=True, help_text="The delayed job, schedule or job that made it.")
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


class WholeJobSerializer(JobSerializer, OptionsSerializer):  # type: ignore[valid-type, misc]  # made of another
    """A job with its options, its output, null before its end, and its timeline, oldest first."""

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
    text = serializers.CharField(help_text="The text that its agent sent with it.")


class NewsSerializer(serializers.Serializer[Any]):
    """One thing that happened; `job` or `message` is set."""

    id = serializers.CharField(help_text="By which to drop what was seen.")
    type = serializers.ChoiceField(choices=["job:status", "message"])
    at = serializers.DateTimeField()
    job = JobNewsSerializer(allow_null=True)
    message = MessageNewsSerializer(allow_null=True)


class NewsPageSerializer(serializers.Serializer[Any]):
    """Events, oldest first."""

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
    """The owner of the token, and its rights."""

    id = serializers.CharField()
    username = serializers.CharField()
    scope = serializers.ChoiceField(choices=["full", "jobs", "messages"])
    counts = CountsSerializer()
    limits = StandingSerializer(many=True)
