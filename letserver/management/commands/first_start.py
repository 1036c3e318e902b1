"""`manage.py first_start`: the rows that `make up` needs once. It reads stdin, because all users see arguments."""

from __future__ import annotations

import json
import sys

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from accounts.models import TokenScope, User
from accounts.services.tokens import mint_user_token
from accounts.services.users import ensure_staff
from agents.models import Agent
from agents.services.manage import create_agent, reset_agent_token
from kernel.commands import one_sentence_errors
from kernel.strictjson import parse_object
from kernel.transactions import named_transaction

DEMO_AGENT = "demo"


class Command(BaseCommand):
    """Create or repair the owner of an instance, their token and the demo agent, in one transaction."""

    help = (
        'Read {"username", "password"} from stdin, make that superuser and the agent "demo" or mend them, '
        "and print one line of JSON with fresh tokens of both."
    )

    def handle(self, **_options: object) -> None:
        """Call the services. If the process is killed before it prints, the next run mints new tokens."""
        with one_sentence_errors(), named_transaction("first_start"):
            username, password = _read_login(sys.stdin.buffer.read())
            owner = ensure_staff(username=username, password=password)
            user_token = mint_user_token(user=owner, scope=TokenScope.FULL, actor="command")
            agent_token = _demo_agent_token(owner)
        answer = {"username": username, "password": password, "user_token": user_token, "agent_token": agent_token}
        self.stdout.write(json.dumps(answer, ensure_ascii=False))


def _read_login(body: bytes) -> tuple[str, str]:
    data = parse_object(body)
    username, password = data.get("username"), data.get("password")
    if not isinstance(username, str) or not isinstance(password, str) or not username or not password:
        raise CommandError(_("Send one JSON object with username and password on stdin."))
    return username, password


def _demo_agent_token(owner: User) -> str:
    agent = Agent.objects.visible_to(owner).filter(names__key=DEMO_AGENT).first()
    if agent is not None:
        return reset_agent_token(agent=agent, actor="command")
    return create_agent(owner=owner, name=DEMO_AGENT, actor="command")[1]
