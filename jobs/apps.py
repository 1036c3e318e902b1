"""Django's entry to the app: fills the seams downward."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class JobsConfig(AppConfig):
    """The app."""

    name = "jobs"
    verbose_name = _("jobs")

    def ready(self) -> None:
        """Register what happens when an agent or a user goes, who hears of moves, and what the bells do."""
        from accounts.hooks import on_frozen
        from agents.hooks import on_removed
        from jobs.bells import wake_agents, wake_beats, wake_job_watchers
        from jobs.callbacks import tell_callbacks, tell_streams
        from jobs.observers import observe
        from jobs.services.cancel import cancel_jobs_of_agent, cancel_jobs_of_user
        from kernel import bells

        on_removed(cancel_jobs_of_agent)
        on_frozen(cancel_jobs_of_user)
        observe(tell_callbacks)
        observe(tell_streams)
        bells.register("agent", wake_agents)
        bells.register("job", wake_job_watchers)
        bells.register("beat", wake_beats)
