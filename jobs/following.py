"""What may follow the end of a job, as it is kept in its columns `backoff` and `then`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypeAlias, TypedDict

RETRIES_LIMIT = 10
FOLLOWERS_LIMIT = 5
DEPTH_LIMIT = 10


class Formula(TypedDict):
    """Pauses in seconds: `base`, then each `factor` times the one before, at most `limit`."""

    base: float
    factor: float
    limit: float


Backoff: TypeAlias = "list[float] | Formula"
"""Seconds before each further attempt, the last repeats; or a formula."""


class Follower(TypedDict):
    """A job that starts when another has ended well, or has failed for good."""

    on: Literal["success", "failure"]
    agent: str
    message: str
    then: NotRequired[list[Follower]]
