"""The console's chat page, and the page on which a chat logs a browser in."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

import segno
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRedirect

from accounts.limits import count_within
from accounts.models import User
from accounts.pages import console_page, form_page
from chat.services.codes import LOGIN_LIFE, begin_login, collect_login
from chat.services.conversation import Bubble, conversation, mark_of, say_at_console
from jobs.models import MESSAGE_LENGTH
from kernel.clock import approximate_now
from kernel.errors import LimitExceeded
from kernel.http.addresses import address_of
from kernel.ids import new_id
from kernel.limits import login_offers
from notifications.drivers.base import ChannelError
from notifications.wechat.client import official_account

_TEXT_CHARACTERS = MESSAGE_LENGTH + 100
_SECRET_SECONDS = 120
_SECRET = "chat-secret"  # noqa: S105  the name under which the session keeps one
_OFFER = "chat-login"
_BACKEND = "django.contrib.auth.backends.ModelBackend"


@console_page("GET", "POST")
def chat(request: HttpRequest, user: User) -> HttpResponse:
    """Show the conversation, or take a line. htmx gets only the lines, and 204 if they have not changed."""
    if request.method == "POST":
        _say(request, user)
        if not request.headers.get("HX-Request"):
            return redirect("console:chat")
        return render(request, "chat/_chat.html", _context(request, user))
    context = _context(request, user)
    if not request.headers.get("HX-Request"):
        return render(request, "chat/chat.html", context)
    if request.GET.get("seen") == context["mark"]:
        return HttpResponse(status=204)
    return render(request, "chat/_lines.html", context)


@form_page
@require_safe
def login_by_chat(request: HttpRequest) -> HttpResponse:
    """Show six digits and a QR code. When a chat approves either, this browser is logged in."""
    if request.user.is_authenticated:
        return _onwards(request)
    offer: dict[str, Any] | None = request.session.get(_OFFER)
    user = collect_login(browser=offer["browser"]) if offer and request.method == "GET" else None
    if user is not None:
        del request.session[_OFFER]
        login(request, user, backend=_BACKEND)
        return _onwards(request)
    is_over = offer is None or offer["until"] < approximate_now().timestamp()
    if offer is not None and not is_over and request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    if is_over:
        try:
            count_within(login_offers(address_of(request)))
        except LimitExceeded as error:
            return render(request, "chat/login_wait.html", {"error": error}, status=429)
        offer = request.session[_OFFER] = _new_offer()
    template = "chat/_login_offer.html" if request.headers.get("HX-Request") else "chat/login.html"
    return render(request, template, {"offer": offer})


def _say(request: HttpRequest, user: User) -> None:
    text = request.POST.get("text", "")[:_TEXT_CHARACTERS]
    if not text.strip():
        return
    key = request.POST.get("key") or new_id()
    said = say_at_console(user=user, text=text, key=key, language=get_language() or "")
    if said.line_id and said.reply.masked:
        until = approximate_now().timestamp() + _SECRET_SECONDS
        request.session[_SECRET] = {"line": said.line_id, "text": said.reply.text, "until": until}


def _context(request: HttpRequest, user: User) -> dict[str, object]:
    bubbles = conversation(user=user)
    revealed = request.session.get(_SECRET)
    if revealed is not None and revealed["until"] < approximate_now().timestamp():
        del request.session[_SECRET]
        revealed = None
    shown = [(bubble, _text_of(bubble, revealed)) for bubble in bubbles]
    return {"bubbles": shown, "mark": _mark(bubbles, revealed), "key": new_id(), "longest": MESSAGE_LENGTH}


def _text_of(bubble: Bubble, revealed: dict[str, Any] | None) -> str:
    """Return a bubble's text. This browser sees its secret for two minutes; afterwards it is masked."""
    return str(revealed["text"]) if revealed is not None and revealed["line"] == bubble.id else bubble.text


def _mark(bubbles: Sequence[Bubble], revealed: dict[str, Any] | None) -> str:
    said = json.dumps([*mark_of(bubbles), revealed is not None])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _new_offer() -> dict[str, object]:
    browser = secrets.token_urlsafe(32)
    offer = begin_login(browser=browser)
    return {
        "browser": browser,
        "code": offer.code,
        "number": offer.number,
        "picture": _picture(f"login:{offer.scene}"),
        "until": approximate_now().timestamp() + LOGIN_LIFE.total_seconds(),
    }


def _picture(scene: str) -> str:
    """Return the QR code of a scene as a data URL; empty without an official account."""
    account = official_account()
    if account is None:
        return ""
    try:
        _ticket, address = account.make_qr(scene, seconds=int(LOGIN_LIFE.total_seconds()))
    except ChannelError:
        return ""
    return str(segno.make(address, error="m").svg_data_uri(scale=5, border=2))


def _onwards(request: HttpRequest) -> HttpResponse:
    page = reverse("console:overview")
    return HttpResponseClientRedirect(page) if request.headers.get("HX-Request") else redirect(page)
