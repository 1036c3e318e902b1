"""Reads what may follow the end of a job: further attempts, other jobs, and who is told of it."""

from __future__ import annotations

from typing import cast

from django.utils.translation import gettext_lazy as _

from agents.services.find import LONGEST_CALL
from jobs.api.fields import read_number, read_text
from jobs.following import DEPTH_LIMIT, FOLLOWERS_LIMIT, RETRIES_LIMIT, Backoff, Follower
from jobs.models import MESSAGE_LENGTH
from jobs.watch.policy import policy_json, read_policy
from kernel.errors import InvalidMessage, InvalidRequest
from kernel.strictjson import JsonObject, JsonValue

NAME_LENGTH = 100
TABLE_LIMIT = 10
LONGEST_PAUSE_SECONDS = 7 * 86_400
_FORMULA = {"base": (1, LONGEST_PAUSE_SECONDS), "factor": (1, 100), "limit": (1, LONGEST_PAUSE_SECONDS)}
_LONGEST_FORMULA_SECONDS = 3600


def read_retries(data: JsonObject) -> int:
    """Read `retry`: how many more attempts may follow one that failed; 0 where it is missing."""
    return read_number(data, "retry", 0, RETRIES_LIMIT) or 0


def read_backoff(data: JsonObject) -> Backoff | None:
    """Read `backoff`: 1 to 10 pauses in seconds, or `{"base": 5, "factor": 2, "limit": 3600}`."""
    value = data.get("backoff")
    if value is None:
        return None
    if isinstance(value, list) and 0 < len(value) <= TABLE_LIMIT and all(map(_is_pause, value)):
        return cast("list[float]", value)
    if isinstance(value, dict) and _is_formula(value):
        longest = value.get("limit", max(_LONGEST_FORMULA_SECONDS, cast("float", value["base"])))
        return cast("Backoff", {"base": value["base"], "factor": value.get("factor", 2), "limit": longest})
    raise InvalidRequest(
        _('backoff is a list of 1 to %(most)s pauses in seconds, or {"base": 5, "factor": 2, "limit": 3600}.'),
        params={"most": TABLE_LIMIT},
    )


def read_then(data: JsonObject, *, depth: int = 1) -> list[Follower] | None:
    """Read `then`: 1 to 5 jobs that follow on `success` or `failure`, each perhaps with a `then` of its own."""
    value = data.get("then")
    if value is None:
        return None
    if depth > DEPTH_LIMIT:
        raise InvalidRequest(_("then goes more than %(limit)s levels deep."), params={"limit": DEPTH_LIMIT})
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= FOLLOWERS_LIMIT:
        raise InvalidRequest(_("then is a list of 1 to %(limit)s jobs."), params={"limit": FOLLOWERS_LIMIT})
    return [_follower(item, depth) for item in value]


def read_notify(data: JsonObject) -> JsonObject | None:
    """Read `notify` of a job: a policy, and the `name` under which it is compared with jobs before and after it.

    Without a name nothing is remembered of it; so one is needed wherever the policy says something of several runs.
    """
    value = data.get("notify")
    if value is None:
        return None
    given = value if isinstance(value, dict) else {}
    name = read_text(given, "name", NAME_LENGTH)
    if name and (not name.isprintable() or name.strip() != name):
        raise InvalidRequest(_("The name of notify has no invisible characters, and no blank at its ends."))
    policy = read_policy({field: one for field, one in given.items() if field != "name"} if given else value)
    if not name and policy.needs_memory:
        raise InvalidRequest(_("notify needs a name: by it a job is compared with those before it."))
    return {**policy_json(policy), "name": name} if name else policy_json(policy)


def _follower(item: JsonValue, depth: int) -> Follower:
    if not isinstance(item, dict) or item.get("on") not in ("success", "failure"):
        raise InvalidRequest(_("Each job of then has on: success or failure, an agent and a message."))
    message = item.get("message")
    if not isinstance(message, str) or not message.strip() or len(message) > MESSAGE_LENGTH:
        raise InvalidMessage(_("A message of then has 1 to %(limit)s characters."), params={"limit": MESSAGE_LENGTH})
    follower: Follower = {
        "on": cast("str", item["on"]),  # type: ignore[typeddict-item]  # one of the two, checked above
        "agent": read_text(item, "agent", LONGEST_CALL, required=True),
        "message": message,
    }
    if further := read_then(item, depth=depth + 1):
        follower["then"] = further
    return follower


def _is_pause(value: JsonValue) -> bool:
    return _is_number(value, 1, LONGEST_PAUSE_SECONDS)


def _is_formula(value: JsonObject) -> bool:
    return "base" in value and all(_is_number(value[name], *_FORMULA[name]) for name in value if name in _FORMULA)


def _is_number(value: JsonValue, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
