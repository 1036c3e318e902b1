"""`manage.py create_token USERNAME [--scope full|jobs|messages]`."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from accounts.models import TokenScope
from accounts.services.tokens import mint_user_token
from accounts.services.users import get_or_create_user
from kernel.commands import one_sentence_errors


class Command(BaseCommand):
    """Mint a user token and print only the token; it cannot be shown again."""

    help = "Mint a token of a user and print it once. A missing user is created."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the user's name and the scope."""
        parser.add_argument("username")
        parser.add_argument("--scope", choices=TokenScope.values, default=TokenScope.FULL.value)

    def handle(self, *, username: str, scope: str, **_options: object) -> None:
        """Call the services."""
        with one_sentence_errors():
            user = get_or_create_user(username=username)
            token = mint_user_token(user=user, scope=scope, actor="command")
        self.stdout.write(token)
