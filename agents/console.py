"""Pages about agents: list, add, show, change, new token, disable, delete.

An agent's page shows its last jobs, which belong to an upper app; `letserver.console_urls` passes in the function that
reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.pages import console_page, show_once, take_once
from agents.forms import AgentDeleteForm, AgentForm
from agents.models import Agent
from agents.services.find import find_agent
from agents.services.manage import AgentChange, create_agent, delete_agent, reset_agent_token, update_agent
from kernel.errors import AppError

LastJobs = Callable[[User, Agent], list[Any]]
"""Returns the rows that the page of an agent shows as its last jobs."""

_LOOPBACK = ("http://localhost", "http://127.", "http://[::1]")


@console_page("GET")
def agent_list(request: HttpRequest, user: User) -> HttpResponse:
    """List the person's agents, online ones first; htmx gets only the rows."""
    rows = Agent.objects.visible_to(user).order_by("-online", "name")
    template = "agents/_agent_rows.html" if request.headers.get("HX-Request") else "agents/agent_list.html"
    return render(request, template, {"agents": list(rows)})


@console_page("GET", "POST")
def agent_add(request: HttpRequest, user: User) -> HttpResponse:
    """Make an agent; the next page shows its token."""
    form = AgentForm(_posted(request))
    if form.is_valid():
        try:
            agent, token = create_agent(owner=user, actor=_actor(user), **form.cleaned_data)
        except AppError as error:
            form.add_error(None, error.message)
        else:
            show_once(request, f"agent-token-{agent.pk}", token)
            return redirect("console:agent", agent.pk)
    return render(request, "agents/agent_add.html", {"form": form}, status=400 if form.errors else 200)


@console_page("GET", "POST")
def agent_detail(request: HttpRequest, user: User, agent_id: str, last_jobs: LastJobs) -> HttpResponse:
    """Show an agent, and change its names and remark."""
    agent = _agent(user, agent_id)
    form = AgentForm(_posted(request), initial={name: getattr(agent, name) for name in AgentForm.base_fields})
    if form.is_valid():
        try:
            update_agent(agent=agent, change=AgentChange(**form.cleaned_data), actor=_actor(user))
        except AppError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("console:agent", agent.pk)
    token = take_once(request, f"agent-token-{agent.pk}")
    context = {
        "agent": agent,
        "form": form,
        "jobs": last_jobs(user, agent),
        "fresh_token": token,
        "install": install_lines(token) if token else None,
    }
    return render(request, "agents/agent_detail.html", context, status=400 if form.errors else 200)


@console_page("POST")
def agent_enable(request: HttpRequest, user: User, agent_id: str) -> HttpResponse:
    """Let an agent work again."""
    agent = update_agent(agent=_agent(user, agent_id), change=AgentChange(enabled=True), actor=_actor(user))
    messages.success(request, _("%(name)s may work again.") % {"name": agent.name})
    return redirect("console:agent", agent.pk)


@console_page("GET", "POST")
def agent_disable(request: HttpRequest, user: User, agent_id: str) -> HttpResponse:
    """Ask for confirmation, then disable an agent: its jobs are canceled."""
    agent = _agent(user, agent_id)
    if request.method != "POST":
        return render(request, "agents/agent_disable.html", {"agent": agent})
    update_agent(agent=agent, change=AgentChange(enabled=False), actor=_actor(user))
    messages.success(request, _("%(name)s is disabled.") % {"name": agent.name})
    return redirect("console:agent", agent.pk)


@console_page("GET", "POST")
def agent_reset(request: HttpRequest, user: User, agent_id: str) -> HttpResponse:
    """Ask for confirmation, then give an agent a new token, which the next page shows."""
    agent = _agent(user, agent_id)
    if request.method != "POST":
        return render(request, "agents/agent_reset.html", {"agent": agent})
    show_once(request, f"agent-token-{agent.pk}", reset_agent_token(agent=agent, actor=_actor(user)))
    return redirect("console:agent", agent.pk)


@console_page("GET", "POST")
def agent_delete(request: HttpRequest, user: User, agent_id: str) -> HttpResponse:
    """Ask for confirmation, then delete an agent; the form has a box to tick if it is online."""
    agent = _agent(user, agent_id)
    form = AgentDeleteForm(_posted(request))
    if form.is_valid():
        try:
            delete_agent(agent=agent, actor=_actor(user), force=form.cleaned_data["force"])
        except AppError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("%(name)s is deleted.") % {"name": agent.name})
            return redirect("console:agents")
    status = 400 if form.errors else 200
    return render(request, "agents/agent_delete.html", {"agent": agent, "form": form}, status=status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """Shell lines for the agent's machine: `write` creates its configuration file, `start` starts it."""

    write: str
    start: str


def install_lines(token: str) -> Install:
    """Return the shell lines. They create the file with mode 600, because the agent refuses any other."""
    write = f"umask 077\ncat > skadi.yml <<'END'\n{_smallest_file(token)}\nEND"
    return Install(write=write, start="python3 -m skadi --config skadi.yml")


def _smallest_file(token: str) -> str:
    """Return a skadi.yml for an agent of this server that allows two harmless commands."""
    server = settings.PUBLIC_URL
    lines = [f"token: {json.dumps(token)}", f"server: {server}"]
    if server.startswith("http://") and not server.startswith(_LOOPBACK):
        lines.append("insecure_http: true")
    return "\n".join([*lines, "commands:", "  - prefix: date", "  - prefix: uptime"])


def _agent(user: User, agent_id: str) -> Agent:
    return find_agent(viewer=user, called=agent_id)


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _actor(user: User) -> str:
    return f"user:{user.pk}"
