"""Django's entry to the app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatConfig(AppConfig):
    """The app."""

    name = "chat"
    verbose_name = _("chat")

    def ready(self) -> None:
        """Register the commands and what the bells do."""
        from chat.commands import builtin
        from chat.tasks import answer_later
        from kernel import bells

        builtin.register_all()
        bells.register("chat", answer_later)
