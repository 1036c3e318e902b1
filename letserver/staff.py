"""The site object of the Django admin."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.pages import form_page
from kernel.visible import visible_page

_Row = TypeVar("_Row", bound=Model)


def _show_hidden_characters(answer: SimpleTemplateResponse) -> None:
    answer.content = visible_page(answer.content.decode()).encode()


class StaffSite(AdminSite):
    """Our name on the admin, one login for all pages, and the way back to the console."""

    site_header = "LetServer"
    site_title = "LetServer"
    index_title = _("Administration")
    site_url = "/console/"

    def register(
        self,
        model_or_iterable: type[_Row] | Iterable[type[_Row]],
        admin_class: type[ModelAdmin[_Row]] | None = None,
        **options: Any,
    ) -> None:
        """Register, without a calendar of dates: MySQL without time zone tables answers that with an error."""
        if admin_class is not None and admin_class.date_hierarchy:
            admin_class = type(admin_class.__name__, (admin_class,), {"date_hierarchy": None})
        super().register(model_or_iterable, admin_class, **options)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Wrap every page of the admin: each may have a form, and shows texts of users, agents and platforms."""
        page = form_page(super().admin_view(view, cacheable))

        @functools.wraps(page)
        def with_hidden_characters_shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            answer: HttpResponseBase = page(request, *args, **kwargs)
            if isinstance(answer, SimpleTemplateResponse):
                answer.add_post_render_callback(_show_hidden_characters)
            return answer

        return with_hidden_characters_shown

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # type: ignore[override]
        """Redirect to the console's login; refuse a logged-in user who is not staff."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        back = request.GET.get("next") or reverse("admin:index")
        return redirect_to_login(back) if not request.user.is_authenticated else redirect("admin:index")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # type: ignore[override]
        """End the session, by POST only, and redirect to the console's login."""
        if request.method != "POST":
            return redirect("admin:index")
        logout(request)
        return redirect("console:login")
