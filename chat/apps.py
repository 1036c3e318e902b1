"""Django's entry to the app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatConfig(AppConfig):
    """The app."""

    name = "chat"
    verbose_name = _("chat")

    def ready(self) -> None:
        """Register the commands, the observers that write messages, and the handler of the bell."""
        from agents.hooks import on_presence
        from chat.asking import keep_questions
        from chat.commands import builtin
        from chat.notices import tell_of_moves, tell_of_presence
        from chat.tasks import answer_later
        from jobs.states import TERMINAL, JobStatus
        from jobs.transitions import observe
        from kernel import bells

        observe(keep_questions, after={JobStatus.FAILED})
        observe(tell_of_moves, after={*TERMINAL, JobStatus.RUNNING})
        on_presence(tell_of_presence)
        builtin.register_all()
        bells.register("chat", answer_later)
