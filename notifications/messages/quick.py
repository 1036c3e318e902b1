"""/message/* and /agent/message/*: the calls of the original service, a message by one GET."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import CallingAgent, MessagesUserByQuery, caller
from accounts.credentials import Principal
from accounts.services.tokens import note_token_in_query
from kernel.errors import InvalidMessage, InvalidRequest, LimitExceeded, NoChannel
from kernel.http.idempotency import read_idempotency_key
from kernel.http.oneline import read_fields
from kernel.http.openapi import describe, query, text_of
from kernel.http.prefetch import is_prefetch
from kernel.http.rest import Operation
from kernel.idempotency import callers_key
from kernel.strictjson import JsonObject
from kernel.text import unstorable_character
from kernel.transactions import run_one
from notifications.messages.accept import accept_messages
from notifications.messages.new_message import NewMessage
from notifications.messages.wire import COLOUR, QuickSerializer
from notifications.models import SOURCE_LENGTH, TEXT_LENGTH, Level, Way

_KINDS = {
    "info": (Level.INFO, Way.TEMPLATE),
    "warning": (Level.WARNING, Way.TEMPLATE),
    "text": (Level.INFO, Way.TEXT),
    "auto": (Level.INFO, Way.AUTO),
}
_OLDER_NAMES = {"info": "info", "warning": "warning", "kf": "text"}


def _fields(operation: Operation, request: Request) -> JsonObject:
    """Read the fields of a call from its body and its query."""
    return read_fields(
        operation.read_bytes(request),
        request.headers.get("Content-Type"),
        request.query_params.getlist,
        others=("source", "color"),
    )


def _new_message(
    principal: Principal, kind: str, fields: JsonObject, key: str | None, *, must_reach: bool
) -> NewMessage:
    """Read the fields of one of these calls; raise InvalidMessage or InvalidRequest."""
    level, way = _KINDS[kind]
    source, colour = fields.get("source") or "", fields.get("color") or ""
    if not isinstance(source, str) or len(source) > SOURCE_LENGTH:
        params: dict[str, object] = {"field": "source", "limit": SOURCE_LENGTH}
        raise InvalidRequest(_("%(field)s has more than %(limit)s characters."), params=params)
    if not isinstance(colour, str) or (colour and not COLOUR.fullmatch(colour)):
        raise InvalidRequest(_("color is written as #RRGGBB."))
    return NewMessage(
        owner_id=principal.owner_id,
        text=_text(fields.get("message")),
        level=level,
        way=way,
        source=source,
        colour=colour,
        agent_id=principal.agent_id,
        idempotency_key=callers_key(principal.actor, key),
        must_reach=must_reach,
    )


def _text(message: object) -> str:
    if not isinstance(message, str) or not message.strip():
        raise InvalidMessage(_("message must be text that is not empty."))
    if len(message) > TEXT_LENGTH:
        raise InvalidMessage(_("message has more than %(limit)s characters."), params={"limit": TEXT_LENGTH})
    if found := unstorable_character(message):
        raise InvalidMessage(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    return message


class QuickMessage(Operation):
    """/message/{info,warning,text,auto}."""

    authentication_classes = (MessagesUserByQuery,)
    ignores_unknown = True
    kind = "info"

    @describe(
        "message_quick",
        "Send a message to yourself",
        answers={201: None},
        errors=[InvalidMessage, LimitExceeded, NoChannel],
        request=QuickSerializer,
        one_line=True,
    )
    def post(self, request: Request) -> Response:
        """Store a message and answer; `info` and `warning` go as WeChat template messages, `text` as a text in the
        chat, `auto` as a text, else as a template message. Without WeChat the first channel of the level takes it.
        """
        return self._send(request)

    @describe(
        "message_quick_get",
        "Send a message to yourself by one GET",
        answers={201: None},
        errors=[InvalidMessage, LimitExceeded, NoChannel],
        parameters=[
            query("msg", "The text.", {**text_of(1, TEXT_LENGTH), "pattern": r"\S"}, required=True),
            query("source", "Shown above the text.", text_of(0, SOURCE_LENGTH)),
            query("color", "`#RRGGBB`, the # written as %23.", {"type": "string", "pattern": "^(#[0-9A-Fa-f]{6})?$"}),
        ],
    )
    def get(self, request: Request) -> Response:
        """Store a message as POST does. A browser's prefetch and a link preview send nothing."""
        if is_prefetch(request):
            raise InvalidRequest(_("A prefetch or a link preview sends nothing."))
        return self._send(request)

    def _send(self, request: Request) -> Response:
        principal = caller(request)
        if "token" in request.query_params:
            note_token_in_query(owner_id=principal.owner_id, scope=principal.scope, actor=principal.actor)
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        message = run_one(
            accept_messages, _new_message(principal, self.kind, _fields(self, request), key, must_reach=True)
        )
        return Response(status=201, headers={"Location": f"/messages/{message.pk}"})


class AgentMessage(Operation):
    """/agent/message/* and their older names."""

    authentication_classes = (CallingAgent,)
    ignores_unknown = True
    kind = "info"

    @describe(
        "agent_message",
        "Send a message to the agent's owner",
        answers={202: None},
        errors=[InvalidMessage],
        request=QuickSerializer,
        one_line=True,
    )
    def post(self, request: Request) -> Response:
        """Store a message under the agent's name. If no channel takes it now, it waits."""
        principal = caller(request)
        key = read_idempotency_key(request.headers.get("Idempotency-Key"))
        run_one(accept_messages, _new_message(principal, self.kind, _fields(self, request), key, must_reach=False))
        return Response(status=202)


def quick_calls() -> dict[str, Any]:
    """Return the view of every path that sends with one call."""
    views = {
        f"message/{kind}": _named(QuickMessage, kind, post=f"message_{kind}", get=f"message_{kind}_get")
        for kind in _KINDS
    }
    views |= {f"agent/message/{kind}": _named(AgentMessage, kind, post=f"agent_message_{kind}") for kind in _KINDS}
    return views | {
        f"agent/{old}": _named(AgentMessage, kind, post=f"agent_{old}") for old, kind in _OLDER_NAMES.items()
    }


def _named(base: type[Operation], kind: str, **operation_ids: str) -> Any:
    """Return a view of one kind whose operations have names of their own."""
    view: Any = type(f"{base.__name__}{kind.title()}", (base,), {"kind": kind})
    renamed = {method: extend_schema(operation_id=name) for method, name in operation_ids.items()}
    return extend_schema_view(**renamed)(view).as_view()
