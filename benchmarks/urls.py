"""The product's addresses, and a view that does nothing: what Django and the web server cost by themselves."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    """Take a body and answer."""
    return HttpResponse(b"success" if request.body else b"nothing", content_type="text/plain")


urlpatterns = [path("bare", bare), path("", include("letserver.urls"))]
