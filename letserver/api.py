"""Calls that belong to no app: is the server alive, what can it do."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kernel.http.openapi import describe
from kernel.http.rest import Operation


class Status(Operation):
    """/status."""

    http_method_names = ["get", "head"]
    ignores_unknown = True

    @describe("status", "Ask whether the server is alive", answers={204: None}, with_token=False)
    def get(self, request: Request) -> Response:
        """Answer. Needs no token and looks at nothing."""
        return Response(status=204)


class Schema(APIView):
    """/api/schema: this API in OpenAPI 3.1; not an operation, so not part of what it tells."""

    http_method_names = Operation.http_method_names
    content_negotiation_class = Operation.content_negotiation_class

    def get(self, request: Request) -> Response:
        """Return the schema."""
        return Response(api_schema())


@functools.cache
def api_schema() -> dict[str, Any]:
    """Draw the schema, in English, once per process."""
    with translation.override("en"):
        return dict(SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """/api/docs: the schema to read and to try, with nothing loaded from elsewhere."""
    return render(request, "letserver/api_docs.html")
