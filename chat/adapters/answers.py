"""Shared HTTP pieces of the adapters: a body of limited length, and one refusal for every kind of forgery."""

from __future__ import annotations

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils.translation import gettext_lazy as _

from kernel.errors import Forbidden, NotFound
from kernel.http.rest import error_response


class Refused(Exception):
    """The call does not come from the platform, or is malformed. The answer does not say which."""


def body_of(request: HttpRequest) -> bytes:
    """Return the body of at most 64 KiB; raise Refused."""
    try:
        return request.body
    except (SuspiciousOperation, UnreadablePostError) as error:
        raise Refused from error


def query_of(request: HttpRequest) -> dict[str, str]:
    """Return the query parameters; raise Refused if there are more than Django reads."""
    try:
        return {name: str(value) for name, value in request.GET.items()}
    except SuspiciousOperation as error:
        raise Refused from error


def refuse(request: HttpRequest) -> HttpResponse:
    """Answer a caller who is not the platform, always with the same error."""
    return error_response(request, Forbidden(_("This call does not come from the platform.")))


def not_configured(request: HttpRequest) -> HttpResponse:
    """Answer 404, because the settings have no account on this platform."""
    return error_response(request, NotFound())


def plain(text: str) -> HttpResponse:
    """Answer with plain text."""
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def pushed(answer: str) -> HttpResponse:
    """Answer a push of WeChat or WeCom: `success`, or the XML that is shown to the person."""
    kind = "text/xml" if answer.startswith("<xml>") else "text/plain"
    return HttpResponse(answer, content_type=f"{kind}; charset=utf-8")
