"""Decorators of every page of the console: allowed methods, login, no caching."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import resolve_url
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import User
from accounts.power import Holder, Power, may
from kernel.errors import NotFound

_P = ParamSpec("_P")
Page = Callable[Concatenate[HttpRequest, User, _P], HttpResponse]
View = Callable[Concatenate[HttpRequest, _P], HttpResponseBase]

_ONCE = "once:"


def console_page(*methods: str) -> Callable[[Page[_P]], View[_P]]:
    """Make a view of a page, which gets the request and the user. Without login it redirects; NotFound is a 404."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(page: Page[_P]) -> View[_P]:
        @wraps(page)
        def view(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
            if request.method not in allowed:
                return HttpResponseNotAllowed(allowed)
            user = request.user
            if not isinstance(user, User) or not may(Holder.LOGIN, Power.MANAGE):
                return _ask_to_log_in(request)
            try:
                return page(request, user, *args, **kwargs)
            except NotFound as error:
                raise Http404 from error

        return form_page(view)

    return decorate


def form_page(view: View[_P]) -> View[_P]:
    """Wrap a view whose page has forms: it is not cached, and its forms send their origin.

    With the API's `no-referrer` policy browsers send `Origin: null` with a form, which the CSRF check refuses.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "same-origin"
        return response

    return never_cache(wrapped)


def show_once(request: HttpRequest, name: str, secret: str) -> None:
    """Store a secret in the session for exactly one display. It is never part of a URL."""
    request.session[_ONCE + name] = secret


def take_once(request: HttpRequest, name: str) -> str:
    """Return the secret and delete it; empty if there is none. A HEAD request shows no page and deletes nothing."""
    if request.method == "HEAD":
        return ""
    return str(request.session.pop(_ONCE + name, ""))


def _ask_to_log_in(request: HttpRequest) -> HttpResponseBase:
    """Redirect to the login, and back afterwards: to the page itself, or to the overview after a form's POST.

    A request of htmx redirects the full page, not the fragment.
    """
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(resolve_url("console:login"))
    back = request.get_full_path() if request.method in ("GET", "HEAD") else resolve_url("console:overview")
    return redirect_to_login(back)
