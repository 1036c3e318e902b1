"""What every page of the console begins with: the right method, a person who is logged in, nothing kept by caches."""

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
from kernel.errors import NotFound

_P = ParamSpec("_P")
Page = Callable[Concatenate[HttpRequest, User, _P], HttpResponse]
View = Callable[Concatenate[HttpRequest, _P], HttpResponseBase]

_ONCE = "once:"


def console_page(*methods: str) -> Callable[[Page[_P]], View[_P]]:
    """Make a view of a page: it gets the request and the person. Strangers are led to the login, NotFound is a 404."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(page: Page[_P]) -> View[_P]:
        @wraps(page)
        def view(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
            if request.method not in allowed:
                return HttpResponseNotAllowed(allowed)
            user = request.user
            if not isinstance(user, User):
                return _ask_to_log_in(request)
            try:
                return page(request, user, *args, **kwargs)
            except NotFound as error:
                raise Http404 from error

        return form_page(view)

    return decorate


def form_page(view: View[_P]) -> View[_P]:
    """Wrap a view whose page holds forms: kept by no cache, and its forms say where they come from.

    Under the API's `no-referrer` browsers send `Origin: null` with a form, which the CSRF check must refuse.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "same-origin"
        return response

    return never_cache(wrapped)


def show_once(request: HttpRequest, name: str, secret: str) -> None:
    """Keep a secret in the session for exactly one display; it never stands in an address."""
    request.session[_ONCE + name] = secret


def take_once(request: HttpRequest, name: str) -> str:
    """Return the secret and forget it; empty when there is none. A HEAD request shows nothing, so it takes nothing."""
    if request.method == "HEAD":
        return ""
    return str(request.session.pop(_ONCE + name, ""))


def _ask_to_log_in(request: HttpRequest) -> HttpResponseBase:
    """Lead to the login and back; a fragment's request must move the whole page, and a form's address is no page."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(resolve_url("console:login"))
    back = request.get_full_path() if request.method in ("GET", "HEAD") else resolve_url("console:overview")
    return redirect_to_login(back)
