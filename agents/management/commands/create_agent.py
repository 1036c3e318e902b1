"""`manage.py create_agent USERNAME NAME [--alias A]`."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from accounts.services.users import get_or_create_user
from agents.services.manage import create_agent
from kernel.commands import one_sentence_errors
from kernel.transactions import named_transaction


class Command(BaseCommand):
    """Make an agent and print only its token; it cannot be shown again."""

    help = "Make an agent of a user and print its token once. A missing user is created."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the user's name, the agent's and its alias."""
        parser.add_argument("username")
        parser.add_argument("name")
        parser.add_argument("--alias", default="")

    def handle(self, *, username: str, name: str, alias: str, **_options: object) -> None:
        """Call the services in one transaction, so that a refused name leaves no new user."""
        with one_sentence_errors(), named_transaction("create_agent"):
            owner = get_or_create_user(username=username)
            _agent, token = create_agent(owner=owner, name=name, alias=alias, actor="command")
        self.stdout.write(token)
