"""The list of commands, in the order in which help shows them."""

from __future__ import annotations

from chat.commands import agents, delayed, help, jobs, people, poster, schedules, tokens
from chat.commands.registry import register


def register_all() -> None:
    """Register them. Called once, in `AppConfig.ready()`."""
    for module in (help, tokens, agents, jobs, delayed, schedules, people, poster):
        for command in module.COMMANDS:
            register(command)
