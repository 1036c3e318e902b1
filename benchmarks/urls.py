"""The product's URLs and a view that does nothing, to measure the cost of Django and the web server."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"success" if request.body else b"nothing", content_type="text/plain")


urlpatterns = [path("bare", bare), path("", include("letserver.urls"))]
