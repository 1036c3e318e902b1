"""Django's entry to the app: fills the seams downward."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class JobsConfig(AppConfig):
    """The app."""

    name = "jobs"
    verbose_name = _("jobs")

    def ready(self) -> None:
        """Register the hooks for removed agents and frozen users, the observers of moves, and the bells."""
        from accounts import quotas
        from accounts.hooks import on_frozen
        from agents.hooks import on_removed
        from jobs.delayed.ends import cancel_delayed_of_agent, cancel_delayed_of_user
        from jobs.life.bells import wake_agents, wake_beats, wake_job_watchers, wake_pullers
        from jobs.life.callbacks import tell_callbacks, tell_streams
        from jobs.life.cancel import cancel_jobs_of_agent, cancel_jobs_of_user
        from jobs.life.chains import follow_ends
        from jobs.queues.dispatch import wake_queues
        from jobs.schedules.ends import disable_schedules_of_agent, disable_schedules_of_user
        from jobs.schedules.quota import schedule_usage
        from jobs.states import TERMINAL, JobStatus
        from jobs.tasks import wake_evaluator
        from jobs.transitions import observe
        from jobs.watch.due import note_ends
        from kernel import bells

        on_removed(cancel_jobs_of_agent)
        on_frozen(cancel_jobs_of_user)
        on_removed(cancel_delayed_of_agent)
        on_frozen(cancel_delayed_of_user)
        on_removed(disable_schedules_of_agent)
        on_frozen(disable_schedules_of_user)
        quotas.register("schedules", schedule_usage)
        observe(tell_callbacks, after={*TERMINAL, JobStatus.SENT, JobStatus.RUNNING}, needs="callback")
        observe(tell_streams, setting="EVENTS")
        observe(follow_ends, after=TERMINAL)
        observe(note_ends, after=TERMINAL, needs="notify")
        observe(wake_queues, needs="queue_id")
        bells.register("agent", wake_agents)
        bells.register("job", wake_job_watchers)
        bells.register("beat", wake_beats)
        bells.register("queue", wake_pullers)
        bells.register("evaluation", wake_evaluator)
