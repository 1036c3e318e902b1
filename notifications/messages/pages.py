"""Pages that open with their signed address and no login: one message, and the confirmation of a mailbox."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_http_methods, require_safe

from accounts.pages import form_page
from kernel.clock import database_now
from kernel.errors import NotFound
from notifications.channels.confirming import channel_to_confirm, confirm_channel
from notifications.messages.actions import open_actions
from notifications.messages.links import CONFIRMATION_LIFE, LIFE, linked_message


@require_safe
def message_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show a message in full. A forged and an expired address give the same page, which says how to find the text."""
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


@form_page
@require_http_methods(["GET", "HEAD", "POST"])
def confirmation_page(request: HttpRequest, token: str) -> HttpResponse:
    """Ask with GET and confirm with POST, because mail scanners follow links but submit no forms."""
    try:
        channel = confirm_channel(token) if request.method == "POST" else channel_to_confirm(token)
    except NotFound:
        response = render(request, "notifications/mailbox_gone.html", {"days": CONFIRMATION_LIFE.days}, status=404)
    else:
        context = {"channel": channel, "is_own": request.user.pk == channel.owner_id}
        response = render(request, "notifications/mailbox.html", context)
    response["X-Robots-Tag"] = "noindex"
    return response
