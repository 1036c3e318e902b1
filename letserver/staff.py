"""The Django admin as staff meet it."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class StaffSite(AdminSite):
    """Our name on the admin, and the way back to the console."""

    site_header = "LetServer"
    site_title = "LetServer"
    index_title = _("Administration")
    site_url = "/console/"
