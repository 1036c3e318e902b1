"""Authentication classes for Django REST framework: `request.user` is the Principal of `accounts.credentials`."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import cast

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.credentials import Principal, bearer_token, require, require_fields
from accounts.limits import count_unknown, identify_within_limits
from accounts.power import Holder, Power, may
from accounts.tokens import TokenKind, kind_of
from kernel.errors import Forbidden, InvalidToken, NotFound, Unauthorized
from kernel.http.rest import request_address
from kernel.strictjson import JsonObject


def caller(request: Request) -> Principal:
    """Return the principal of an operation that uses one of the classes below."""
    return cast(Principal, request.user)


def allowed_body(request: Request, body: JsonObject) -> JsonObject:
    """Return the body of one of our own calls; raise Forbidden if the caller may not send one of its fields."""
    require_fields(caller(request), body)
    return body


class BearerAuthentication(BaseAuthentication):
    """A token in the header; with `query_counts` also in `?token=`. Its owner must have `power`."""

    power: Power
    query_counts = False
    schemes: tuple[str, ...] = ("userToken",)
    """The names of the accepted tokens in the OpenAPI schema (setting SPECTACULAR_SETTINGS)."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        """Return the principal; raise InvalidToken, Unauthorized, Forbidden, UnavailableAgent or LimitExceeded."""
        tokens = request.query_params.getlist("token") if self.query_counts else []
        token = bearer_token(self.read_header(request), tokens)
        principal = identify_within_limits(token, address=request_address(request))
        require(principal, self.power)
        return principal, None

    def read_header(self, request: Request) -> str | None:
        """Return the header that carries the token."""
        return request.headers.get("Authorization")


class FullUser(BearerAuthentication):
    """A user token that may do everything."""

    power = Power.MANAGE


class AnyUser(BearerAuthentication):
    """Any user token."""

    power = Power.READ_SELF


class JobsUser(BearerAuthentication):
    """A user token that may send jobs."""

    power = Power.USE_JOBS


class StateKeeper(BearerAuthentication):
    """A user token that may send jobs, or an agent token."""

    power = Power.KEEP_STATE
    schemes: tuple[str, ...] = ("userToken", "agentToken")


class JobsUserByQuery(JobsUser):
    """A user token that may send jobs, also in `?token=`, as old clients send it."""

    query_counts = True
    schemes: tuple[str, ...] = ("userToken", "userTokenInQuery")


class JobsUserByBasic(JobsUserByQuery):
    """A user token that may send jobs, also in `?token=` or as Basic, for clients that send nothing else."""

    schemes = ("userToken", "userTokenInQuery", "userTokenByBasic")

    def read_header(self, request: Request) -> str | None:
        """Return the header; Basic becomes Bearer."""
        return _basic_as_bearer(request.headers.get("Authorization"))


def _basic_as_bearer(authorization: str | None) -> str | None:
    """Return `Bearer <token>` for Basic with a token as user name or password; the other half is ignored.

    Any other header is returned unchanged. Raises InvalidToken if neither half is a token, or if the halves are two
    different tokens.
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

    power = Power.SEND_MESSAGES


class MessagesUserByQuery(MessagesUser):
    """A user token that may send messages, also in `?token=`: one GET sends a message."""

    query_counts = True
    schemes = ("userToken", "userTokenInQuery")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The upstream program."""

    is_authenticated = True


class UpstreamSystem(BaseAuthentication):
    """The token of LETSERVER_SYS_TOKEN. Without that setting these paths answer 404."""

    power = Power.FEED
    schemes = ("systemToken",)

    def authenticate(self, request: Request) -> tuple[System, None]:
        """Return the upstream system. Raises NotFound, InvalidToken, Unauthorized, LimitExceeded."""
        if not settings.SYS_TOKEN:
            raise NotFound
        scheme, _space, offered = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not offered.strip():
            raise InvalidToken

        def look_up() -> System:
            if not hmac.compare_digest(offered.strip().encode(), settings.SYS_TOKEN.encode()):
                raise Unauthorized
            if not may(Holder.SYSTEM, self.power):
                raise Forbidden
            return System()

        return count_unknown(look_up, address=request_address(request)), None


class CallingAgent(BearerAuthentication):
    """An agent token."""

    power = Power.WORK
    schemes = ("agentToken",)
