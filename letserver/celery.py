"""The Celery application: worker and beat."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")

app = Celery("letserver", task_cls="letserver.ticks:Tick")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def _check_the_database(**_: Any) -> None:
    """Refuse to work on a database that would lose what was acknowledged."""
    from letserver.checks import refuse_broken_promises

    refuse_broken_promises()


@worker_init.connect
def _watch_the_worker(**_: Any) -> None:
    """Let a worker that has stopped consuming end, for its supervisor to start it again."""
    from django.conf import settings

    from letserver.watchdog import start_watchdog

    start_watchdog(app, redis_url=settings.REDIS_URL)


@worker_process_init.connect
def _end_with_the_worker(**_: Any) -> None:
    """Prefork children outlive a worker that is killed, unless they ask the kernel not to."""
    from letserver.lifeline import die_with_parent

    die_with_parent(signal.SIGKILL)
