"""What Django REST framework needs to speak our wire: one error shape, one base for every operation, strict fields."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
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

from kernel.errors import AppError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge, Unavailable
from kernel.http.addresses import caller_address
from kernel.http.answers import BODY_LIMIT, api_language, error_body, error_headers
from kernel.strictjson import JsonObject, parse_object

logger = logging.getLogger(__name__)

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class AlwaysJSON(BaseContentNegotiation):
    """Ignores Accept and `?format=`: clients in the field send what they like and get JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> None:
        """Choose none: operations read the body themselves."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Choose the only one."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class Operation(APIView):
    """Base of every API call: JSON in, JSON or nothing out. Subclasses name authentication and, if other, the cap.

    HEAD and OPTIONS are refused: a poll without an answer would lose a job, and no browser of others may call.
    """

    body_limit = BODY_LIMIT
    content_negotiation_class = AlwaysJSON
    http_method_names = ["get", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Choose the language of errors before anything can fail; refuse a query that is not clean UTF-8."""
        translation.activate(api_language(request.headers.get("Accept-Language")))
        _check_query(request.META["QUERY_STRING"])
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep every answer out of caches: it is one caller's."""
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)

    def read_body(self, request: Request) -> JsonObject:
        """Return the JSON object in the body, of any content type: old clients, and curl, send it under other names.

        Raises TooLarge over the cap, InvalidRequest for what is no clean object. Read from the request itself, because
        `request.data` takes a chunked body for an empty one.
        """
        return parse_object(self.read_bytes(request))

    def read_bytes(self, request: Request) -> bytes:
        """Return the body as it was sent; raise TooLarge over the cap."""
        body: bytes = request.read(self.body_limit + 1)
        if len(body) > self.body_limit:
            raise TooLarge(params={"limit": self.body_limit})
        return body


def query_value(request: Request, name: str) -> str | None:
    """Return the one value of a query parameter, or None; raise InvalidRequest for two, and for NUL."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(_("%(field)s was sent twice."), params={"field": name})
    if values and "\x00" in values[0]:
        raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": "U+0000"})
    return values[0] if values else None


def request_address(request: Request) -> str | None:
    """Return the caller's IP address, or None where it cannot be known."""
    forwarded_for = request.headers.get("X-Forwarded-For")
    return caller_address(request.META.get("REMOTE_ADDR"), forwarded_for, settings.TRUSTED_PROXIES)


def _check_query(query: str) -> None:
    """Refuse what Django would mend in silence: a text that was cut or mangled on its way must not become a job."""
    try:
        clean = not _BAD_ESCAPE.search(query) and unquote_to_bytes(query).decode() is not None
    except UnicodeDecodeError:
        clean = False
    if not clean:
        raise InvalidRequest(_("The query is not percent-encoded UTF-8."))


class Text(serializers.CharField):
    """A text as it was sent: not trimmed, and a number is no text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: object) -> str:
        """Take text only."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """true or false, and nothing that looks like it."""

    def to_internal_value(self, data: object) -> bool:
        """Take a boolean only."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


def checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    """Return the checked fields of a body; raise InvalidRequest that names the first wrong one."""
    if not serializer.is_valid():
        field, problems = next(iter(serializer.errors.items()))
        raise InvalidRequest(_("%(field)s: %(problem)s"), params={"field": field, "problem": problems[0]})
    return dict(serializer.validated_data)


def as_app_error(error: Exception) -> AppError:
    """Translate what Django, DRF or the database raised into our tree."""
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
    """DRF's exception handler: the one error shape, never a page, never a trace."""
    known = as_app_error(error)
    if known.status >= 500:
        logger.error("operation failed", exc_info=error, extra={"action": "api.error", "error": type(error).__name__})
    return Response(error_body(known), status=known.status, headers=error_headers(known))


def error_response(request: HttpRequest, error: AppError) -> JsonResponse:
    """Render an error for a path that no operation took."""
    with translation.override(api_language(request.headers.get("Accept-Language"))):
        headers = {"Cache-Control": "no-store", **error_headers(error)}
        return JsonResponse(error_body(error), status=error.status, headers=headers)
