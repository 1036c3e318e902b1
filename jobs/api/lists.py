"""The query of GET /jobs, and its page."""

from __future__ import annotations

import base64
import binascii
import re
import uuid

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from accounts.credentials import Principal
from agents.services.find import find_agent
from jobs.services.listing import JobFilter, list_jobs
from jobs.states import JobStatus
from jobs.wire.reading import read_moment
from jobs.wire.rendering import JobPageJson, job_json
from kernel.errors import InvalidRequest
from kernel.rest import query_value

_DEFAULT_LIMIT = 50
_LARGEST_LIMIT = 100


def job_page(request: Request, principal: Principal) -> JobPageJson:
    """Return the page that the query asks for. Raises InvalidRequest, AgentNotFound."""
    page = list_jobs(
        viewer=principal,
        wanted=_read_filter(request, principal),
        older_than=_read_cursor(query_value(request, "cursor")),
        size=_read_limit(query_value(request, "limit")),
    )
    items = [job_json(job, output) for job, output in page.items]
    return {"items": items, "next": _write_cursor(page.older_than) if page.older_than else None}


def _read_filter(request: Request, principal: Principal) -> JobFilter:
    called = query_value(request, "agent")
    moments = {name: query_value(request, name) for name in ("created_after", "created_before")}
    return JobFilter(
        status=_read_status(query_value(request, "status")),
        agent_id=None if called is None else find_agent(viewer=principal, called=called).pk,
        source=query_value(request, "source"),
        created_after=read_moment(moments, "created_after"),
        created_before=read_moment(moments, "created_before"),
    )


def _read_status(text: str | None) -> JobStatus | None:
    if text is not None and text not in JobStatus.values:
        raise InvalidRequest(_("status is one of: %(words)s."), params={"words": ", ".join(JobStatus.values)})
    return None if text is None else JobStatus(text)


def _read_limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= _LARGEST_LIMIT:
        raise InvalidRequest(_("limit is a whole number from 1 to %(largest)s."), params={"largest": _LARGEST_LIMIT})
    return int(text)


def _write_cursor(job_id: str) -> str:
    """Write an id so that nobody is tempted to read anything into it."""
    return base64.urlsafe_b64encode(uuid.UUID(job_id).bytes).decode().rstrip("=")


def _read_cursor(text: str | None) -> str:
    if text is None:
        return ""
    try:
        job_id = str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{text}==".encode("ascii"))))
    except (ValueError, binascii.Error):
        job_id = ""
    if not job_id or _write_cursor(job_id) != text:
        raise InvalidRequest(_("cursor is not one that a list gave."))
    return job_id
