"""Find the principal of a token: the one set of rules for the gateway and for Django REST framework.

The app that owns the table of a kind of token registers it (`register_kind` in `AppConfig.ready()`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from accounts.identity import token_of_digest
from accounts.power import Holder, Power, may, refused_field
from accounts.tokens import TokenKind, digest, kind_of
from kernel.errors import Forbidden, InvalidToken, Unauthorized, UnavailableAgent
from kernel.limits import Limit, agent_calls, user_calls

SYSTEM_ACTOR = "system"
"""The actor of events and audit entries that the upstream program causes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller: a user with a token of some scope, or an agent (`agent_id`) of `owner_id`."""

    kind: TokenKind
    owner_id: str
    digest: str
    scope: str = ""
    agent_id: str = ""
    agent_enabled: bool = True
    acts_for_owner: bool = False
    """Whether the agent may do for its owner what a token for jobs may."""
    in_queues: bool = False
    """Whether queues may hold work for the agent that calls."""
    limited: bool = True
    """Whether calls count towards the rate limit. Calls of staff and of their agents do not."""

    # Django REST framework reads this attribute of `request.user`.
    is_authenticated = True

    @property
    def holder(self) -> Holder:
        """The column of the table of powers that speaks of this caller."""
        if self.kind is TokenKind.USER:
            return Holder(self.scope)
        return Holder.OWNERS_AGENT if self.acts_for_owner else Holder.AGENT

    @property
    def actor(self) -> str:
        """The actor of events and audit entries that this caller causes."""
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
    """Let `resolver` look up the digests of tokens of this kind."""
    _resolvers[kind] = resolver


def bearer_token(authorization: str | None, query_tokens: Sequence[str] = ()) -> str:
    """Return the token of a request; `query_tokens` are its `?token=` values on a path that accepts them.

    Beside `?token=`, a header without a token of ours does not count: a proxy puts its own login there. Raises
    InvalidToken for a missing token, another scheme, two different tokens, or a malformed token.
    """
    scheme, _space, value = (authorization or "").partition(" ")
    in_header = value.strip() if scheme.lower() == "bearer" else ""
    if not query_tokens:
        if kind_of(in_header) is TokenKind.MALFORMED:
            raise InvalidToken
        return in_header
    token = query_tokens[0]
    if kind_of(token) is TokenKind.MALFORMED:
        raise InvalidToken(_("The value of ?token= is not a token of this service."))
    offered = {*query_tokens, *([] if kind_of(in_header) is TokenKind.MALFORMED else [in_header])}
    if len(query_tokens) > 1 or len(offered) > 1:
        raise InvalidToken(_("Send one token: the call has two."))
    return token


def identify(token: str) -> Principal:
    """Look up a well-formed token in the database; raise Unauthorized if it is unknown or revoked."""
    principal = _resolvers[kind_of(token)](digest(token))
    if principal is None:
        raise Unauthorized
    return principal


def identify_again(principal: Principal) -> Principal:
    """Look up the caller again after a long poll; raise Unauthorized if the token no longer works."""
    current = _resolvers[principal.kind](principal.digest)
    if current is None:
        raise Unauthorized
    return current


def limit_on(principal: Principal) -> Limit | None:
    """Return the rate limit of this person or agent; None: there is no limit."""
    if not principal.limited:
        return None
    return agent_calls(principal.agent_id) if principal.kind is TokenKind.AGENT else user_calls(principal.owner_id)


def require(principal: Principal, power: Power) -> None:
    """Raise Forbidden unless the caller has this power, UnavailableAgent for a disabled agent that has it."""
    if not may(principal.holder, power):
        raise Forbidden
    if not principal.agent_enabled:
        raise UnavailableAgent


def require_fields(principal: Principal, names: Iterable[str]) -> None:
    """Raise Forbidden, with the name of the field, if the caller may not send one of these fields of a body."""
    if refused := refused_field(principal.holder, names):
        raise Forbidden(_("This token may not send the field %(field)s."), params={"field": refused})
