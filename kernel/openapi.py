"""Our additions to the OpenAPI schema that drf-spectacular draws."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema


class OperationSchema(AutoSchema):
    """Schema of one operation."""
