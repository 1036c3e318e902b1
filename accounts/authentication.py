"""Django REST framework's door to `accounts.credentials`: `request.user` is the Principal."""

from __future__ import annotations

import abc
import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.credentials import (
    ANY_SCOPE,
    FULL_SCOPE,
    JOB_SCOPES,
    MESSAGE_SCOPES,
    Principal,
    bearer_token,
    require_agent,
    require_user,
)
from accounts.limits import counting_failures, identify_within_limits
from accounts.tokens import TokenKind, kind_of
from kernel.errors import InvalidToken, NotFound, Unauthorized
from kernel.http.rest import request_address


def caller(request: Request) -> Principal:
    """Return who calls an operation that names one of the classes below."""
    return cast(Principal, request.user)


class BearerAuthentication(BaseAuthentication, abc.ABC):
    """A token in the header; where `query_counts`, `?token=` instead."""

    query_counts = False
    schemes: tuple[str, ...] = ("userToken",)
    """How the OpenAPI schema calls it (settings: SPECTACULAR_SETTINGS)."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        """Return the caller; raise the error of our tree that says why not."""
        tokens = request.query_params.getlist("token") if self.query_counts else []
        token = bearer_token(self.read_header(request), tokens)
        principal = identify_within_limits(token, address=request_address(request))
        self.check(principal)
        return principal, None

    def read_header(self, request: Request) -> str | None:
        """Return the header that carries the token."""
        return request.headers.get("Authorization")

    @abc.abstractmethod
    def check(self, principal: Principal) -> None:
        """Refuse the wrong kind or scope."""


class FullUser(BearerAuthentication):
    """A user token that may do everything."""

    def check(self, principal: Principal) -> None:
        """Refuse agents and narrower scopes."""
        require_user(principal, FULL_SCOPE)


class AnyUser(BearerAuthentication):
    """Any user token."""

    def check(self, principal: Principal) -> None:
        """Refuse agents."""
        require_user(principal, ANY_SCOPE)


class JobsUser(BearerAuthentication):
    """A user token that may send jobs."""

    def check(self, principal: Principal) -> None:
        """Refuse agents and tokens for messages."""
        require_user(principal, JOB_SCOPES)


class JobsUserOrAgent(JobsUser):
    """The same, or an agent, which acts for its owner."""

    schemes = ("userToken", "agentToken")

    def check(self, principal: Principal) -> None:
        """Refuse tokens for messages, and agents that are switched off."""
        if principal.kind is TokenKind.AGENT:
            require_agent(principal)
        else:
            super().check(principal)


class JobsUserByQuery(JobsUser):
    """The same where `?token=` counts: the one-line form of old clients."""

    query_counts = True
    schemes: tuple[str, ...] = ("userToken", "userTokenInQuery")


class JobsUserByBasic(JobsUserByQuery):
    """The same where a token may also come as Basic, from clients that know nothing else."""

    schemes = ("userToken", "userTokenInQuery", "userTokenByBasic")

    def read_header(self, request: Request) -> str | None:
        """Return the header, Basic turned into Bearer."""
        return _basic_as_bearer(request.headers.get("Authorization"))


def _basic_as_bearer(authorization: str | None) -> str | None:
    """Return `Bearer <token>` for Basic that has a token as its user name or as its password, the other half ignored.

    Any other header is returned as it is. Raises InvalidToken for none in either place, and for two that differ.
    """
    scheme, _space, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        name, _colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidToken from error
    tokens = {half for half in (name, password) if kind_of(half) is not TokenKind.MALFORMED}
    if len(tokens) != 1:
        raise InvalidToken
    return f"Bearer {tokens.pop()}"


class MessagesUser(BearerAuthentication):
    """A user token that may send messages."""

    def check(self, principal: Principal) -> None:
        """Refuse agents and tokens for jobs."""
        require_user(principal, MESSAGE_SCOPES)


class MessagesUserByQuery(MessagesUser):
    """The same where `?token=` counts: messages by one GET."""

    query_counts = True
    schemes = ("userToken", "userTokenInQuery")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The upstream program."""

    is_authenticated = True


class UpstreamSystem(BaseAuthentication):
    """The token of LETSERVER_SYS_TOKEN. Without that setting there is nothing here."""

    schemes = ("systemToken",)

    def authenticate(self, request: Request) -> tuple[System, None]:
        """Let the one token in. Raises NotFound, InvalidToken, Unauthorized, LimitExceeded."""
        if not settings.SYS_TOKEN:
            raise NotFound
        scheme, _space, offered = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not offered.strip():
            raise InvalidToken
        with counting_failures(request_address(request)):
            if not hmac.compare_digest(offered.strip().encode(), settings.SYS_TOKEN.encode()):
                raise Unauthorized
        return System(), None


class CallingAgent(BearerAuthentication):
    """An agent token."""

    schemes = ("agentToken",)

    def check(self, principal: Principal) -> None:
        """Refuse users and agents that are switched off."""
        require_agent(principal)
