"""The query parameters of a list: `limit` and `cursor`."""

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
    """Read `?cursor=`: the id of the row at which the page begins, empty without it. Raises InvalidRequest."""
    text = query_value(request, "cursor")
    if text is None:
        return ""
    try:
        row_id = str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{text}==".encode("ascii"))))
    except (ValueError, binascii.Error):
        row_id = ""
    if not row_id or write_cursor(row_id) != text:
        raise InvalidRequest(_("Invalid cursor. Use the next value of the previous page."))
    return row_id


def write_cursor(row_id: str) -> str | None:
    """Return an id as an opaque cursor; None for an empty id, at the end of the list."""
    return base64.urlsafe_b64encode(uuid.UUID(row_id).bytes).decode().rstrip("=") if row_id else None
