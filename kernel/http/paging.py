"""The query of a list: how many, and from where on."""

from __future__ import annotations

import base64
import binascii
import re
import uuid

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from kernel.errors import InvalidRequest
from kernel.http.rest import query_value

_DEFAULT_LIMIT = 50
_LARGEST_LIMIT = 100


def read_limit(request: Request) -> int:
    """Read `?limit=`: 1 to 100, 50 without it."""
    text = query_value(request, "limit")
    if text is None:
        return _DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= _LARGEST_LIMIT:
        raise InvalidRequest(_("limit is a whole number from 1 to %(largest)s."), params={"largest": _LARGEST_LIMIT})
    return int(text)


def read_cursor(request: Request) -> str:
    """Read `?cursor=`: the id to go on from, empty without it."""
    text = query_value(request, "cursor")
    if text is None:
        return ""
    try:
        row_id = str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{text}==".encode("ascii"))))
    except (ValueError, binascii.Error):
        row_id = ""
    if not row_id or write_cursor(row_id) != text:
        raise InvalidRequest(_("cursor is not one that a list gave."))
    return row_id


def write_cursor(row_id: str) -> str | None:
    """Write an id so that nobody is tempted to read anything into it; None where the list ends."""
    return base64.urlsafe_b64encode(uuid.UUID(row_id).bytes).decode().rstrip("=") if row_id else None
