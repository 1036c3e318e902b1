"""Django's own error answers, outside operations and pages: JSON on API paths, a page under /console/ and /admin/."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string

from kernel.errors import AppError, Forbidden, InvalidRequest, NotFound
from kernel.http.rest import error_response

_PAGES = ("/console/", "/admin/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400: an unknown host, or a query of more than a thousand fields."""
    return answer_error(request, InvalidRequest())


def permission_denied(request: HttpRequest, exception: PermissionDenied) -> HttpResponse:
    """403."""
    return answer_error(request, Forbidden())


def page_not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    """404."""
    return answer_error(request, NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    """500: a bug in this server; Django has logged it."""
    return answer_error(request, AppError())


def answer_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """Render an error as a page under /console/ and /admin/, as JSON elsewhere."""
    if not request.path.startswith(_PAGES):
        return error_response(request, error)
    try:
        page = render_to_string(f"errors/{error.status}.html", {"error": error}, request)
    except TemplateDoesNotExist:
        return HttpResponse(error.message, status=error.status, content_type="text/plain; charset=utf-8")
    return HttpResponse(page, status=error.status)
