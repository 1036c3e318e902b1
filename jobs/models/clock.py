"""Rows of which there is one: the clocks that gateways and due scans share."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class GatewayClock(models.Model):
    """One row: since when some gateway has been alive without a gap. An agent's silence counts only from then."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    alive_since = models.DateTimeField(_("alive since"))
    beat_at = models.DateTimeField(_("last beat"))

    class Meta:
        verbose_name = _("gateway clock")
        verbose_name_plural = _("gateway clock")

    def __str__(self) -> str:
        return f"{self.alive_since} - {self.beat_at}"


class Ticker(models.Model):
    """One row: whether the due scans may start anything. Held after a backup was restored, until staff have looked."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    held_at = models.DateTimeField(_("held since"), null=True)
    backup_at = models.DateTimeField(_("time of the backup"), null=True)

    class Meta:
        verbose_name = _("ticker")
        verbose_name_plural = _("ticker")

    def __str__(self) -> str:
        return f"held since {self.held_at}" if self.held_at else "runs"
