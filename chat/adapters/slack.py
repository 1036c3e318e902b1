"""The Slack slash command: `/chat/slack`, signed with the app's secret. Only the person sees the answer.

https://api.slack.com/authentication/verifying-requests-from-slack, https://api.slack.com/interactivity/slash-commands.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.services.identities import ChatAddress
from chat.adapters.answers import Refused, body_of, not_configured, plain, refuse
from chat.adapters.receiving import Incoming, receive
from kernel.clock import approximate_now

_AGE_SECONDS = 300
_FIELDS = 50
_SHAPE = re.compile(r"[A-Z0-9]{1,64}")


@csrf_exempt
@require_POST
def slack(request: HttpRequest) -> HttpResponse:
    """Take one command."""
    if not settings.SLACK_SIGNING_SECRET:
        return not_configured(request)
    try:
        fields = _read(request)
    except (Refused, ValueError):
        return refuse(request)
    team, person, trigger = (fields.get(name, "") for name in ("team_id", "user_id", "trigger_id"))
    if not (_SHAPE.fullmatch(team) and _SHAPE.fullmatch(person) and trigger):
        return plain("")
    incoming = Incoming(
        address=ChatAddress(platform="slack", account=team, external_id=person),
        key=trigger,
        text=fields.get("text", "") or "help",
        display=fields.get("user_name", ""),
    )
    text = receive(incoming).text
    return JsonResponse({"response_type": "ephemeral", "text": _escaped(text)}) if text else plain("")


def _read(request: HttpRequest) -> dict[str, str]:
    """Return the fields of a signed body; raise Refused. The signature covers the raw bytes."""
    body = body_of(request)
    timestamp = request.headers.get("X-Slack-Request-Timestamp", "")
    given = request.headers.get("X-Slack-Signature", "")
    said = b"v0:" + timestamp.encode(errors="replace") + b":" + body
    expected = "v0=" + hmac.new(settings.SLACK_SIGNING_SECRET.encode(), said, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
        raise Refused
    if (
        not re.fullmatch(r"[0-9]{1,12}", timestamp)
        or abs(approximate_now().timestamp() - int(timestamp)) > _AGE_SECONDS
    ):
        raise Refused
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))


def _escaped(text: str) -> str:
    """Escape the three characters with which Slack marks links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
