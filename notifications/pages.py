"""The page of one message, for whoever has its signed address: mostly a phone, mostly from a chat."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from kernel.errors import NotFound
from notifications.links import LIFE, message_of
from notifications.models import Message


@require_safe
def message_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show a message in full. A forged or an old address is a page that is not there."""
    try:
        message = Message.objects.filter(pk=message_of(token)).first()
    except NotFound as error:
        raise Http404 from error
    if message is None:
        raise Http404
    response = render(request, "notifications/message.html", {"message": message, "until": message.created_at + LIFE})
    response["X-Robots-Tag"] = "noindex"
    add_never_cache_headers(response)
    return response
