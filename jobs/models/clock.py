"""The clocks that gateways and due scans share, one row each, and the clocks of the processes."""

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
    """One row: whether the due scans may start anything, and whether they run.

    Held after a backup was restored, until staff have looked. `silent_since` is set while no tick does its work.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    held_at = models.DateTimeField(_("held since"), null=True)
    backup_at = models.DateTimeField(_("time of the backup"), null=True)
    worked_at = models.DateTimeField(_("last look for due work"), null=True)
    silent_since = models.DateTimeField(_("stands still since"), null=True)

    class Meta:
        verbose_name = _("ticker")
        verbose_name_plural = _("ticker")

    def __str__(self) -> str:
        return f"held since {self.held_at}" if self.held_at else "runs"


class ProcessClock(models.Model):
    """How far the clock of a process on a host, or of Redis, is ahead of the database's. `over_since`: wrong since."""

    name = models.CharField(_("clock"), primary_key=True, max_length=255)
    host = models.CharField(_("host"), max_length=255)
    skew_seconds = models.FloatField(_("seconds ahead"), default=0.0)
    measured_at = models.DateTimeField(_("measured"))
    over_since = models.DateTimeField(_("wrong since"), null=True)

    class Meta:
        verbose_name = _("process clock")
        verbose_name_plural = _("process clocks")

    def __str__(self) -> str:
        return f"{self.name}: {self.skew_seconds:+.3f} s"
