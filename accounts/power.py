"""The one table of who may do what. Every way of authentication reads it, and every field of a body that gives power.

A route names the power that it needs (`accounts.authentication`, the handlers of the gateway). A field that starts
something by itself names another one in FIELDS. docs/scopes.md prints both; tests compare every answer with them.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping


class Holder(enum.StrEnum):
    """The kinds of callers."""

    FULL = "full"
    JOBS = "jobs"
    MESSAGES = "messages"
    AGENT = "agent"
    OWNERS_AGENT = "owner's agent"
    """An agent whose owner has switched on `acts_for_owner`."""
    SYSTEM = "system"
    """The upstream program."""
    LOGIN = "login"
    """A person who is logged in at the console."""
    CHAT = "chat"
    """A person who writes in a chat; the platform has signed or encrypted the line."""
    NOBODY = "nobody"


class Power(enum.StrEnum):
    """The rights that a caller may have, over things of its owner only."""

    READ_SELF = "read who they are"
    USE_JOBS = "send, read and cancel jobs"
    SEND_MESSAGES = "send messages"
    MANAGE = "manage agents, channels and messages"
    KEEP_STATE = "keep state"
    SHARE_STATE = "use the owner's state"
    COMMAND_AGENTS = "send jobs to any agent of the owner"
    SET_CALLBACK = "have results sent to an address"
    WORK = "take and report jobs, tell the owner"
    FEED = "send jobs of any user"


_PERSON = frozenset({Holder.FULL, Holder.LOGIN, Holder.CHAT})
_USER_OF_JOBS = _PERSON | {Holder.JOBS}
_AGENTS = frozenset({Holder.AGENT, Holder.OWNERS_AGENT})

HOLDERS: Mapping[Power, frozenset[Holder]] = {
    Power.READ_SELF: _PERSON | {Holder.JOBS, Holder.MESSAGES},
    Power.USE_JOBS: _USER_OF_JOBS,
    Power.SEND_MESSAGES: _PERSON | {Holder.MESSAGES},
    Power.MANAGE: _PERSON,
    Power.KEEP_STATE: _USER_OF_JOBS | _AGENTS,
    Power.SHARE_STATE: _USER_OF_JOBS | {Holder.OWNERS_AGENT},
    Power.COMMAND_AGENTS: _USER_OF_JOBS | {Holder.OWNERS_AGENT, Holder.SYSTEM},
    Power.SET_CALLBACK: _USER_OF_JOBS | _AGENTS | {Holder.SYSTEM},
    Power.WORK: _AGENTS,
    Power.FEED: frozenset({Holder.SYSTEM}),
}

FIELDS: Mapping[str, Power] = {
    "actions": Power.USE_JOBS,
    "agent": Power.COMMAND_AGENTS,
    "callback": Power.SET_CALLBACK,
    "notify": Power.USE_JOBS,
    "then": Power.USE_JOBS,
}
"""The fields of bodies that give power, and the power that each needs beside that of its route.

An agent may always be named by its own token.
"""


def may(holder: Holder, power: Power) -> bool:
    """Tell whether this kind of caller has the power."""
    return holder in HOLDERS[power]


def refused_field(holder: Holder, names: Iterable[str]) -> str | None:
    """Return the first of these fields that this kind of caller may not send; None if there is none."""
    return next((name for name in names if name in FIELDS and not may(holder, FIELDS[name])), None)
