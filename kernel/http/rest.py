"""Our adapter for Django REST framework: one error shape, one base class for every operation, strict fields."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kernel.clock import rfc3339
from kernel.errors import AppError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge, Unavailable
from kernel.http.addresses import caller_address
from kernel.http.answers import BODY_LIMIT, api_language, error_body, error_headers
from kernel.http.bodies import check_parameters
from kernel.strictjson import JsonObject, parse_object

logger = logging.getLogger(__name__)

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class AlwaysJSON(BaseContentNegotiation):
    """Ignores Accept and `?format=`: old clients send arbitrary values, and all get JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> None:
        """Return None: operations read the body themselves."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """The input of a method of an operation, as `describe` notes it. `gateway`: the gateway's handler answers it."""

    parameters: frozenset[str]
    body: bool
    gateway: bool


class Operation(APIView):
    """Base of every API call: JSON in, JSON or an empty body out. Subclasses set authentication and the body limit.

    HEAD and OPTIONS are refused: HEAD on a poll would claim a job and lose it, and other sites' pages must not call.
    Parameters and bodies that a call does not take are refused, unless it `ignores_unknown`, as the calls of the
    originals and of agents do.
    """

    body_limit = BODY_LIMIT
    ignores_unknown = False
    content_negotiation_class = AlwaysJSON
    http_method_names = ["get", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Set the language of errors first; refuse an undeclared method before its token, and a broken query."""
        translation.activate(api_language(request.headers.get("Accept-Language")))
        method = (request.method or "").lower()
        if method not in self.http_method_names or not hasattr(self, method):
            self.http_method_not_allowed(request)
        _check_query(request.META["QUERY_STRING"])
        super().initial(request, *args, **kwargs)
        if not (self.ignores_unknown or self.takes(request).gateway):
            self._refuse_unknown(request)

    def takes(self, request: Request) -> Takes:
        """Return what the called method takes."""
        taken: Takes = getattr(self, (request.method or "").lower()).takes
        return taken

    def _refuse_unknown(self, request: Request) -> None:
        """Refuse parameters and a body that the call would ignore: their sender expects them to have an effect."""
        takes = self.takes(request)
        check_parameters(request.query_params, takes.parameters)
        if not takes.body and request.method != "GET" and self.read_bytes(request).strip() not in (b"", b"{}"):
            raise InvalidRequest(_("This call takes no body."))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Forbid caches to store the answer, because it belongs to one caller."""
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def read_body(self, request: Request) -> JsonObject:
        """Return the JSON object in the body. Any content type is accepted, because old clients and curl send others.

        Raises TooLarge over the limit, InvalidRequest for everything that `parse_object` refuses. It does not use
        `request.data`, which takes a chunked body for an empty one.
        """
        return parse_object(self.read_bytes(request))

    def read_bytes(self, request: Request) -> bytes:
        """Return the body as it was sent; raise TooLarge over the limit."""
        body: bytes = request.read(self.body_limit + 1)
        if len(body) > self.body_limit:
            raise TooLarge(params={"limit": self.body_limit})
        return body


def query_value(request: Request, name: str) -> str | None:
    """Return the value of a query parameter, or None; raise InvalidRequest if it is sent twice or holds NUL."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(_("%(field)s was sent twice."), params={"field": name})
    if values and "\x00" in values[0]:
        raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": "U+0000"})
    return values[0] if values else None


def request_address(request: Request) -> str | None:
    """Return the caller's IP address, or None if it is unknown."""
    forwarded_for = request.headers.get("X-Forwarded-For")
    return caller_address(request.META.get("REMOTE_ADDR"), forwarded_for, settings.TRUSTED_PROXIES)


def _check_query(query: str) -> None:
    """Refuse broken escapes, which Django would silently repair: a text cut on its way must not become a job."""
    try:
        clean = not _BAD_ESCAPE.search(query) and unquote_to_bytes(query).decode() is not None
    except UnicodeDecodeError:
        clean = False
    if not clean:
        raise InvalidRequest(_("The query is not percent-encoded UTF-8."))


class Text(serializers.CharField):
    """A text as it was sent: it is not trimmed, and a number is refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: object) -> str:
        """Return the text; refuse every other type."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """A JSON boolean; `"true"`, 1 and the like are refused."""

    def to_internal_value(self, data: object) -> bool:
        """Return the boolean; refuse every other type."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Time(serializers.DateTimeField):
    """A time in an answer; `checked_body` reads one in a body."""

    def to_representation(self, value: dt.datetime) -> str:
        """Write the time in UTC, with microseconds and `Z`."""
        return rfc3339(value) or ""


def as_app_error(error: Exception) -> AppError:
    """Return our error for an exception of Django, DRF or the database."""
    match error:
        case AppError():
            return error
        case Http404():
            return NotFound()
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed()
        case RequestDataTooBig():
            return TooLarge(params={"limit": BODY_LIMIT})
        case SuspiciousOperation():
            return InvalidRequest()
        case exceptions.APIException() if error.status_code < 500:
            return InvalidRequest()
        case AnyDatabaseError():
            return Unavailable()
        case _:
            return AppError()


def handle_exception(error: Exception, context: Any) -> Response:
    """Answer an exception in the one error shape. DRF calls this; the answer is never a page or a trace."""
    known = as_app_error(error)
    if known.status >= 500:
        logger.error("operation failed", exc_info=error, extra={"action": "api.error", "error": type(error).__name__})
    return Response(error_body(known), status=known.status, headers=error_headers(known))


def error_response(request: HttpRequest, error: AppError) -> JsonResponse:
    """Render an error for a path without an operation."""
    with translation.override(api_language(request.headers.get("Accept-Language"))):
        headers = {"Cache-Control": "no-store", **error_headers(error)}
        return JsonResponse(error_body(error), status=error.status, headers=headers)
