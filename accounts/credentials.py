"""From what a request carries to who calls: one rule book for the gateway and for Django REST framework.

A kind of token is registered by the app that keeps its table (`register_kind` in `AppConfig.ready()`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accounts.identity import token_of_digest
from accounts.tokens import TokenKind, digest, kind_of
from kernel.errors import Forbidden, InvalidToken, Unauthorized, UnavailableAgent
from kernel.limits import Limit, agent_calls, user_calls

JOB_SCOPES = frozenset({"full", "jobs"})
MESSAGE_SCOPES = frozenset({"full", "messages"})
FULL_SCOPE = frozenset({"full"})
SYSTEM_ACTOR = "system"
"""The name under which events and audit entries remember the upstream program."""

ANY_SCOPE = frozenset({"full", "jobs", "messages"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: a user by a token of some scope, or an agent (`agent_id`) of `owner_id`."""

    kind: TokenKind
    owner_id: str
    digest: str
    scope: str = ""
    agent_id: str = ""
    agent_enabled: bool = True
    in_queues: bool = False
    """Whether queues may hold work for the agent that calls."""
    limited: bool = True
    """Whether calls are counted: not those of staff, and of their agents."""

    # Django REST framework asks its `request.user` whether it is somebody.
    is_authenticated = True

    @property
    def actor(self) -> str:
        """The name under which events and audit entries remember this caller."""
        return f"agent:{self.agent_id}" if self.agent_id else f"user:{self.owner_id}"


Resolver = Callable[[str], Principal | None]


def _resolve_user(token_digest: str) -> Principal | None:
    row = token_of_digest(token_digest)
    if row is None:
        return None
    return Principal(
        kind=TokenKind.USER,
        owner_id=row.user_id,
        digest=token_digest,
        scope=row.scope,
        limited=not row.user.is_staff,
    )


_resolvers: dict[TokenKind, Resolver] = {TokenKind.USER: _resolve_user}


def register_kind(kind: TokenKind, resolver: Resolver) -> None:
    """Let `resolver` look up the digests of tokens of this shape."""
    _resolvers[kind] = resolver


def bearer_token(authorization: str | None, query_tokens: Sequence[str] = ()) -> str:
    """Return the token of a request; `query_tokens` are its `?token=` values on a path where they count.

    Raises InvalidToken for none, for another scheme, for two that differ, and for one of no known shape.
    """
    offered = set(query_tokens)
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidToken
        offered.add(token.strip())
    if len(offered) != 1 or len(query_tokens) > 1:
        raise InvalidToken
    (token,) = offered
    if kind_of(token) is TokenKind.MALFORMED:
        raise InvalidToken
    return token


def identify(token: str) -> Principal:
    """Look a well-formed token up in the database; raise Unauthorized for one that is unknown, revoked or frozen."""
    principal = _resolvers[kind_of(token)](digest(token))
    if principal is None:
        raise Unauthorized
    return principal


def identify_again(principal: Principal) -> Principal:
    """Ask the database whether a caller who has waited is still known; raise Unauthorized if not."""
    current = _resolvers[principal.kind](principal.digest)
    if current is None:
        raise Unauthorized
    return current


def limit_on(principal: Principal) -> Limit | None:
    """Return the limit on the calls of this caller's token; None: there is none."""
    if not principal.limited:
        return None
    return (agent_calls if principal.kind is TokenKind.AGENT else user_calls)(principal.digest)


def require_user(principal: Principal, scopes: frozenset[str]) -> None:
    """Raise Forbidden unless a user calls, with one of these scopes."""
    if principal.kind is not TokenKind.USER or principal.scope not in scopes:
        raise Forbidden


def require_agent(principal: Principal) -> None:
    """Raise Forbidden unless an agent calls, UnavailableAgent when its owner switched it off."""
    if principal.kind is not TokenKind.AGENT:
        raise Forbidden
    if not principal.agent_enabled:
        raise UnavailableAgent
