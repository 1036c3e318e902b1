"""What Django REST framework needs to speak our wire: one parser, one error shape, one base for every operation."""

from __future__ import annotations

import logging
from typing import IO, Any

from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils import translation
from rest_framework import exceptions
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kernel.answers import BODY_LIMIT, api_language, error_body, error_headers
from kernel.errors import AppError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge, Unavailable
from kernel.strictjson import JsonObject, parse_object

logger = logging.getLogger(__name__)


class StrictJSONParser(BaseParser):
    """Reads any body as JSON: clients in the field, and curl without a header, send it under other names."""

    media_type = "*/*"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> JsonObject:
        """Return the object; raise TooLarge over the operation's cap, InvalidRequest for what is no clean object."""
        limit = getattr(parser_context["view"], "body_limit", BODY_LIMIT)
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(params={"limit": limit})
        return parse_object(body)


class Operation(APIView):
    """Base of every API call: JSON in, JSON or nothing out. Subclasses name authentication and, if other, the cap."""

    body_limit = BODY_LIMIT

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Choose the language of errors before anything can fail."""
        translation.activate(api_language(request.headers.get("Accept-Language")))
        super().initial(request, *args, **kwargs)


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
        case exceptions.APIException() if error.status_code < 500:
            return InvalidRequest()
        case DatabaseError():
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
        return JsonResponse(error_body(error), status=error.status, headers=error_headers(error))
