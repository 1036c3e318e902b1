"""The Celery application: worker and beat."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, setup_logging, worker_init, worker_process_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")

app = Celery("letserver", task_cls="letserver.ticks:Tick")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_log_lines(**_: Any) -> None:
    """Let Celery configure no logging, because its lines have another form and local time. Settings has ours."""


@celeryd_init.connect
@beat_init.connect
def _keep_files_private(**_: Any) -> None:
    """Let every file be for this user alone, and refuse a data folder that others may have changed."""
    from letserver.checks import claim_data_folder
    from letserver.private import make_files_private

    make_files_private()
    claim_data_folder()


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


@worker_ready.connect
def _watch_the_clocks_of_a_worker(sender: Any, **_: Any) -> None:
    """Measure this process's clock, and note the progress of ticks, which a courier does not take."""
    from django.conf import settings

    from jobs.clocks.watch import start_clock_watch
    from letserver.ticks import progress

    takes_ticks = app.conf.task_default_queue in sender.app.amqp.queues.consume_from
    start_clock_watch(
        "worker" if takes_ticks else "courier",
        redis_url=settings.REDIS_URL,
        worked_ago=progress.worked_ago if takes_ticks else lambda: None,
    )


@beat_init.connect
def _watch_the_clocks_of_beat(**_: Any) -> None:
    """Measure this process's clock."""
    from django.conf import settings

    from jobs.clocks.watch import start_clock_watch

    start_clock_watch("beat", redis_url=settings.REDIS_URL)
