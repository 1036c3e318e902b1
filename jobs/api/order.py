"""The description of an order in JSON: it reads bodies and stored words, and draws the schema."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any, cast

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.services.find import LONGEST_CALL
from jobs.api.fields import read_text
from jobs.argv import WORDS_LIMIT, Command, read_argv
from jobs.models import (
    CALLBACK_LENGTH,
    KEY_LENGTH,
    MESSAGE_LENGTH,
    QUEUE_NAME_LENGTH,
    RATE_KEY_LENGTH,
    SOURCE_LENGTH,
    TASK_LENGTH,
)
from jobs.order import (
    FOLLOWERS_LIMIT,
    PRIORITY_LIMIT,
    RETRIES_LIMIT,
    TTL_LIMIT_SECONDS,
    Backoff,
    Follower,
    JobOrder,
    OrderChange,
    check_order,
)
from jobs.watch.policy import policy_json, read_policy
from kernel.errors import InvalidMessage, InvalidRequest
from kernel.http.bodies import Description, check_object, check_text, checked_body, unknown_field
from kernel.outbound import check_url
from kernel.strictjson import JsonObject

CHAT_SOURCE = "chat:"
"""So begins the source of what a person said in a chat; only they can confirm where an agent asks first."""

_NOTIFY_NAME_LENGTH = 100
_PAUSES_LIMIT = 10
_LONGEST_PAUSE_SECONDS = 7 * 86_400
_LONGEST_FORMULA_SECONDS = 3600
_FORMULA = {"base": (1, _LONGEST_PAUSE_SECONDS), "factor": (1, 100), "limit": (1, _LONGEST_PAUSE_SECONDS)}


class _Message(serializers.CharField):
    pattern = r"\S"

    def read_value(self, value: object, name: str) -> str:
        return check_message(value, name)


class _Argv(serializers.ListField):
    def read_value(self, value: object, name: str) -> Command:
        return read_argv(value)


class _Callback(serializers.CharField):
    def read_value(self, value: object, name: str) -> str:
        return check_callback(value, name)


class _Source(serializers.CharField):
    def read_value(self, value: object, name: str) -> str:
        source = check_text(value, name, limit=SOURCE_LENGTH)
        if source.startswith(CHAT_SOURCE):
            raise InvalidRequest(_("A source cannot begin with %(word)s."), params={"word": CHAT_SOURCE})
        return source


@extend_schema_field(
    {
        "oneOf": [
            {"type": "array", "items": {"type": "number", "minimum": 1}, "minItems": 1, "maxItems": _PAUSES_LIMIT},
            {
                "type": "object",
                "properties": {name: {"type": "number", "minimum": 1} for name in _FORMULA},
                "required": ["base"],
            },
        ]
    }
)
class BackoffField(serializers.JSONField):
    """Pauses between attempts."""

    def read_value(self, value: object, name: str) -> Backoff:
        """Read 1 to 10 pauses in seconds, or `{"base": 5, "factor": 2, "limit": 3600}`."""
        if isinstance(value, dict) and (unknown := sorted(value.keys() - _FORMULA.keys())):
            raise unknown_field(unknown[0], _FORMULA, at=f"{name}.")
        return check_backoff(value)


class NotifyField(serializers.DictField):
    """The policy for messages about the end of the job."""

    def read_value(self, value: object, name: str) -> JsonObject:
        """Read a policy, and the name under which jobs are compared."""
        return check_notify(value)


class _Followers(serializers.ListSerializer[Any]):
    def read_value(self, value: object, name: str) -> tuple[Follower, ...]:
        if not isinstance(value, list) or not 0 < len(value) <= FOLLOWERS_LIMIT:
            raise InvalidRequest(
                _("%(field)s is a list of 1 to %(limit)s jobs."), params={"field": name, "limit": FOLLOWERS_LIMIT}
            )
        return tuple(_read_follower(one, f"{name}[{number}]") for number, one in enumerate(value))


class OrderSerializer(Description):
    """The fields of every body that orders a job. A new option is one field here."""

    agent = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=LONGEST_CALL,
        help_text="Id, name or alias of one of your agents. This or `queue`.",
    )
    queue = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=QUEUE_NAME_LENGTH,
        help_text="The name of a queue, which says where the job runs.",
    )
    message = _Message(
        required=False,
        allow_null=True,
        max_length=MESSAGE_LENGTH,
        help_text="The text, kept as it is. This or `argv`.",
    )
    argv = _Argv(
        child=serializers.CharField(allow_blank=True),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=WORDS_LIMIT,
        help_text="A command as words, which no shell and no splitting touches; numbers become words. `message` is "
        "then what a shell would split into them.",
    )
    task = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=TASK_LENGTH,
        help_text="The kind of job, a word of your own: lists and queues can go by it.",
    )
    source = _Source(  # type: ignore[assignment]  # a field of ours, an attribute of theirs
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=SOURCE_LENGTH,
        help_text="Where the job comes from, for lists.",
    )
    callback = _Callback(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=CALLBACK_LENGTH,
        help_text="Empty: the owner reads the result in the chat. `disable`: no message. A URL: the server calls it "
        "at every move.",
    )
    priority = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=-PRIORITY_LIMIT,
        max_value=PRIORITY_LIMIT,
        help_text="The higher starts first.",
    )
    distinct_key = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=KEY_LENGTH,
        help_text="One job with this key at a time. A distinct queue takes the task, else the message.",
    )
    rate_key = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=RATE_KEY_LENGTH,
        help_text="The queue's rate limit counts the jobs of one key together.",
    )
    retry = serializers.IntegerField(
        source="retries",
        required=False,
        allow_null=True,
        min_value=0,
        max_value=RETRIES_LIMIT,
        help_text="How many more attempts may follow a failure.",
    )
    backoff = BackoffField(
        required=False,
        allow_null=True,
        help_text='Pauses between attempts: seconds `[10, 60, 300]`, or `{"base": 5, "factor": 2, "limit": 3600}`.',
    )
    idempotent = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="The job may run twice: it is retried even if its end is unknown.",
    )
    notify = NotifyField(
        required=False,
        allow_null=True,
        help_text="The ends that send a message: docs/schedules.md. Jobs with the same `name` are compared.",
    )
    ttl = serializers.IntegerField(
        source="ttl_seconds",
        required=False,
        allow_null=True,
        min_value=1,
        max_value=TTL_LIMIT_SECONDS,
        help_text="Seconds that the job may wait for an offline agent, from when it is due.",
    )
    wait_until = serializers.DateTimeField(
        required=False, allow_null=True, help_text="The same, until a time. This or `ttl`."
    )


class FollowerSerializer(OrderSerializer):
    """A job that follows the end of another, with options of its own, also a `then`."""

    on = serializers.ChoiceField(choices=["success", "failure"], help_text="`failure`: when no attempt is left.")


def _add_then(serializer: type[serializers.Serializer[Any]]) -> None:
    """Declare `then`, which holds followers, on a serializer that is made before theirs."""
    serializer._declared_fields["then"] = _Followers(
        child=FollowerSerializer(),
        required=False,
        allow_null=True,
        min_length=1,
        max_length=FOLLOWERS_LIMIT,
        help_text="1 to 5 jobs that follow its end.",
    )


_add_then(OrderSerializer)
_add_then(FollowerSerializer)


class QueuedSerializer(OrderSerializer):
    """A job, with what queues and further attempts need to know of it."""


def _answer_field(name: str, field: Any) -> serializers.Field[Any, Any, Any, Any]:
    """Return the field as answers have it: always there, null only if that is its default, without limits."""
    if isinstance(field, _Followers):
        return _Followers(child=FollowerSerializer(), allow_null=True, help_text=field.help_text)
    more = {"child": deepcopy(field.child)} if isinstance(field, serializers.ListField) else {}
    nullable = _DEFAULTS[field.source or name] is None
    made: serializers.Field[Any, Any, Any, Any] = type(field)(allow_null=nullable, help_text=field.help_text, **more)
    return made


_DEFAULTS = {one.name: getattr(JobOrder(), one.name) for one in fields(JobOrder)}


OptionsSerializer: type[serializers.Serializer[Any]] = type(
    "OptionsSerializer",
    (serializers.Serializer,),
    {
        "__doc__": "The options of a job, as answers show them.",
        "__module__": __name__,
        **{
            name: _answer_field(name, field)
            for name, field in OrderSerializer._declared_fields.items()
            if name not in ("agent", "queue")
        },
    },
)
"""The schema of `JobOrder.options`."""


def read_order(values: dict[str, Any], *, queue: str = "", source: str = "") -> JobOrder:
    """Take a whole order out of a checked body, for `queue` if there is one; `source` if the body has none.

    Fields of the body's own stay in `values`. Raises InvalidRequest, InvalidMessage for options that do not fit
    together.
    """
    order = JobOrder(**{"queue": queue, "source": source} | _take_options(values, source))
    check_order(order)
    return order


def read_order_change(values: dict[str, Any], *, source: str = "") -> OrderChange:
    """Take the options that are to change out of a checked body. null means the default of a new job;
    the default of `source` is the parameter."""
    return OrderChange(_take_options(values, source))


def _take_options(values: dict[str, Any], source: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in list(values):
        if name in _DEFAULTS:
            value = values.pop(name)
            given[name] = _DEFAULTS[name] if value is None else value
    command: Command | None = given.pop("argv", None)
    if command is not None:
        if given.get("message"):
            raise InvalidRequest(_("Send message or argv, not both."))
        given |= {"message": command.message, "argv": command.argv}
    elif given.get("message"):
        given["argv"] = None
    if "source" in given:
        given["source"] = given["source"] or source
    # An empty text counts as not sent: no job can have an empty agent, queue or message.
    for name in ("agent", "queue", "message"):
        if name in given and not given[name]:
            del given[name]
    return given


def check_message(value: object, name: str) -> str:
    """Return the text of a job; raise InvalidMessage."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidMessage(_("%(field)s must be text that is not empty."), params={"field": name})
    if len(value) > MESSAGE_LENGTH:
        raise InvalidMessage(
            _("%(field)s has more than %(limit)s characters."), params={"field": name, "limit": MESSAGE_LENGTH}
        )
    return value


def check_callback(value: object, name: str) -> str:
    """Return a callback: empty, `disable`, or an address that this server may call, in its normal form."""
    callback = check_text(value, name, limit=CALLBACK_LENGTH)
    if callback in ("", "disable"):
        return callback
    try:
        checked = check_url(callback)
    except InvalidRequest as error:
        raise InvalidRequest(
            _("callback is empty, disable, or a URL: %(problem)s"), params={"problem": error}
        ) from None
    return check_text(checked, name, limit=CALLBACK_LENGTH)


def check_backoff(value: object) -> Backoff:
    """Return 1 to 10 pauses in seconds, or a formula with all of its numbers."""
    if isinstance(value, list) and 0 < len(value) <= _PAUSES_LIMIT and all(map(_is_pause, value)):
        return cast("list[float]", value)
    if isinstance(value, dict) and _is_formula(value):
        longest = value.get("limit", max(_LONGEST_FORMULA_SECONDS, value["base"]))
        return {"base": value["base"], "factor": value.get("factor", 2), "limit": longest}
    raise InvalidRequest(
        _('backoff is a list of 1 to %(most)s pauses in seconds, or {"base": 5, "factor": 2, "limit": 3600}.'),
        params={"most": _PAUSES_LIMIT},
    )


def check_notify(value: object) -> JsonObject:
    """Return when to tell: a policy, and the `name` under which a job is compared with jobs before and after it.

    Without a name nothing is remembered, so a policy about several runs needs one.
    """
    given = value if isinstance(value, dict) else {}
    name = read_text({"notify.name": given.get("name")}, "notify.name", _NOTIFY_NAME_LENGTH)
    if name and (not name.isprintable() or name.strip() != name):
        raise InvalidRequest(_("The name of notify has no invisible characters, and no blank at its ends."))
    policy = read_policy({field: one for field, one in given.items() if field != "name"} if given else value)
    if not name and policy.needs_memory:
        raise InvalidRequest(_("notify needs a name: by it a job is compared with those before it."))
    return {**policy_json(policy), "name": name} if name else policy_json(policy)


def _read_follower(value: object, name: str) -> Follower:
    values = checked_body(FollowerSerializer, check_object(value, name), at=f"{name}.")
    try:
        return Follower(on=values.pop("on"), order=read_order(values))
    except (InvalidRequest, InvalidMessage) as error:
        raise InvalidRequest(_("%(field)s: %(problem)s"), params={"field": name, "problem": error}) from None


def _is_pause(value: object) -> bool:
    return _is_number(value, 1, _LONGEST_PAUSE_SECONDS)


def _is_formula(value: JsonObject) -> bool:
    return "base" in value and all(_is_number(value[name], *_FORMULA[name]) for name in value if name in _FORMULA)


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
