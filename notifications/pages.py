"""The page of one message, for whoever has its signed address: mostly a phone, mostly from a chat."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from kernel.clock import database_now
from kernel.errors import NotFound
from notifications.links import LIFE, linked_message
from notifications.presentation import open_actions


@require_safe
def message_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show a message in full. A forged and an old address read alike: the page says how to get at the text."""
    try:
        message = linked_message(token)
    except NotFound:
        response = render(request, "notifications/message_gone.html", {"days": LIFE.days}, status=404)
    else:
        actions = open_actions(message, database_now())
        context = {"message": message, "actions": actions, "until": message.created_at + LIFE}
        response = render(request, "notifications/message.html", context)
    response["X-Robots-Tag"] = "noindex"
    add_never_cache_headers(response)
    return response
