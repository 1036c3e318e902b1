"""Pages about the person: log in and out, tokens, password, language and look."""

from __future__ import annotations

from typing import Any

from axes.helpers import get_cool_off
from django.contrib import messages
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import quotas
from accounts.forms import LoginForm, TokenForm
from accounts.limits import count_within
from accounts.models import User, UserToken
from accounts.pages import console_page, form_page, show_once, take_once
from accounts.services.audit import record_audit
from accounts.services.tokens import mint_user_token, revoke_user_token
from kernel.clock import database_now
from kernel.errors import LimitExceeded, TokenLimit, Unavailable
from kernel.http.addresses import address_of
from kernel.limits import login_tries

THEMES = ("auto", "light", "dark")
_YEAR_SECONDS = 365 * 24 * 3600


@method_decorator(form_page, name="dispatch")
class Login(LoginView):
    """Ask for name and password. After too many wrong passwords the page says when the next attempt is allowed."""

    template_name = "accounts/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Check the password, unless this address tries too many, or too many people log in at once."""
        try:
            count_within(login_tries(address_of(request)))
            return super().post(request, *args, **kwargs)
        except (LimitExceeded, Unavailable) as error:
            context = self.get_context_data(form=LoginForm(request), refused=error.message)
            answer = render(request, self.template_name, context, status=error.status)
            answer["Retry-After"] = str(error.retry_after_seconds)
            return answer

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Answer that the password was wrong, or that the account is locked for a while."""
        if not getattr(self.request, "axes_locked_out", False):
            return super().form_invalid(form)
        # Otherwise the middleware of axes would replace this page by its own.
        self.request.axes_locked_out = False  # type: ignore[attr-defined]
        wait = get_cool_off(self.request)
        answer = render(self.request, "accounts/locked_out.html", {"back_at": timezone.now() + wait}, status=429)
        answer["Retry-After"] = str(int(wait.total_seconds()))
        return answer


class Logout(LogoutView):
    """End the session, by POST only, so that a link on another site cannot."""


@method_decorator(form_page, name="dispatch")
class PasswordChange(PasswordChangeView):
    """Change the password. The person's other sessions end."""

    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("console:account")

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:  # type: ignore[override]
        """Change the password and write an audit entry."""
        answer = super().form_valid(form)  # type: ignore[arg-type]
        actor = f"user:{self.request.user.pk}"
        record_audit(actor=actor, action="user.change_password", subject=actor, now=database_now())
        messages.success(self.request, _("Your password is changed. Other browsers are logged out."))
        return answer


@console_page("GET")
def account(request: HttpRequest, user: User) -> HttpResponse:
    """Show the person's tokens; a new token is shown in full once."""
    return _account_page(request, user, TokenForm())


@console_page("POST")
def token_mint(request: HttpRequest, user: User) -> HttpResponse:
    """Make a token and show it on the next page."""
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _account_page(request, user, form, status=400)
    scope, remark = form.cleaned_data["scope"], form.cleaned_data["remark"]
    try:
        token = mint_user_token(user=user, scope=scope, remark=remark, actor=f"user:{user.pk}")
    except TokenLimit as error:
        form.add_error("scope", error.message)
        return _account_page(request, user, form, status=error.status)
    show_once(request, "user-token", token)
    return redirect("console:account")


@console_page("GET", "POST")
def token_revoke(request: HttpRequest, user: User, token_id: str) -> HttpResponse:
    """Ask for confirmation, then revoke a token."""
    token = get_object_or_404(UserToken.objects.visible_to(user).live(), pk=token_id)
    if request.method != "POST":
        return render(request, "accounts/token_revoke.html", {"token": token})
    revoke_user_token(token=token, actor=f"user:{user.pk}")
    messages.success(request, _("The token %(prefix)s… no longer works.") % {"prefix": token.prefix})
    return redirect("console:account")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Store light or dark in a cookie; `auto` follows the system."""
    wanted = request.POST.get("theme", "auto")
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    answer = redirect(back if safe else "console:overview")
    if wanted in THEMES:
        answer.set_cookie(
            "theme", wanted, max_age=_YEAR_SECONDS, samesite="Lax", httponly=True, secure=request.is_secure()
        )
    return answer


def _account_page(request: HttpRequest, user: User, form: TokenForm, *, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "tokens": list(UserToken.objects.visible_to(user).live().order_by("-created_at")),
        "fresh_token": take_once(request, "user-token"),
        "usages": quotas.usages(user),
    }
    return render(request, "accounts/account_detail.html", context, status=status)
