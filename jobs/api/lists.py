"""The query of GET /jobs, and its page."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from accounts.credentials import Principal
from agents.services.find import find_agent
from jobs.api.fields import read_moment
from jobs.api.rendering import job_json
from jobs.life.listing import JobFilter, list_jobs
from jobs.states import JobStatus
from kernel.errors import InvalidRequest
from kernel.http.bodies import check_text
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import query_value
from kernel.strictjson import JsonObject


def job_page(request: Request, principal: Principal) -> JsonObject:
    """Return the page that the query asks for. Raises InvalidRequest, AgentNotFound."""
    page = list_jobs(
        viewer=principal,
        wanted=_read_filter(request, principal),
        older_than=read_cursor(request),
        size=read_limit(request),
    )
    return {
        "items": [job_json(job, output) for job, output in page.items],
        "next": write_cursor(page.older_than),
    }


def read_agent_query(request: Request, viewer: Principal) -> str | None:
    """Return the id of the agent that `?agent=` calls, or None without it. Raises AgentNotFound, InvalidRequest."""
    called = query_value(request, "agent")
    if called is None:
        return None
    agent_id: str = find_agent(viewer=viewer, called=check_text(called, "agent", blank=False)).pk
    return agent_id


def _read_filter(request: Request, principal: Principal) -> JobFilter:
    moments = {name: query_value(request, name) for name in ("created_after", "created_before")}
    return JobFilter(
        status=_read_status(query_value(request, "status")),
        agent_id=read_agent_query(request, principal),
        source=query_value(request, "source"),
        created_after=read_moment(moments, "created_after"),
        created_before=read_moment(moments, "created_before"),
    )


def _read_status(text: str | None) -> JobStatus | None:
    if text is not None and text not in JobStatus.values:
        raise InvalidRequest(_("status is one of: %(words)s."), params={"words": ", ".join(JobStatus.values)})
    return None if text is None else JobStatus(text)
