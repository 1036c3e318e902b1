"""The calls of scripts that keep something between their runs: GET, PUT and DELETE by name, with ETags."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import StateKeeper, caller
from accounts.power import Power, may
from jobs.models import STATE_NAME_LENGTH, StateEntry
from jobs.store.service import WRONG_NAME, Condition, delete_state, etag_of, list_state, read_state, write_state
from kernel.clock import rfc3339
from kernel.errors import InvalidRequest, NotFound, PreconditionFailed, StateLimit, UnavailableAgent
from kernel.http.openapi import PAGE_QUERY, describe, header
from kernel.http.paging import read_cursor, read_limit, write_cursor
from kernel.http.rest import Operation

_ANY_TYPE = "application/octet-stream"
_CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?: *; *[\w.+-]+=[\w.+-]+)*", re.ASCII)
_ETAGS = re.compile(r'\s*(?:(?:W/)?"[\x21\x23-\x7e]*"\s*(?:,\s*|$))+')
_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')

_ETAGS_SCHEMA = {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'}
_IF_MATCH = header("If-Match", "Only if the entry has this `ETag`; `*`: only if there is one.", _ETAGS_SCHEMA)


class StateEntrySerializer(serializers.Serializer[Any]):
    """An entry without its content."""

    name = serializers.CharField()
    size_bytes = serializers.IntegerField()
    content_type = serializers.CharField()
    version = serializers.IntegerField(help_text="1 at first, one more with every write.")
    etag = serializers.CharField(help_text="The `ETag` of GET, with its quotes.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class StatePageSerializer(serializers.Serializer[Any]):
    """Entries, the one made last first."""

    items = StateEntrySerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `cursor` for the next page; null at the end.")


class State(Operation):
    """/state."""

    authentication_classes = (StateKeeper,)

    @describe(
        "state_list",
        "List what scripts keep",
        answers={200: StatePageSerializer},
        errors=[UnavailableAgent],
        parameters=[
            *PAGE_QUERY,
        ],
    )
    def get(self, request: Request) -> Response:
        """Return a page of the caller's entries without their content; see `/state/{name}`."""
        part, owner_id = _part(request), caller(request).owner_id
        older_than, size = read_cursor(request), read_limit(request)
        page = list_state(owner_id=owner_id, begins_with=part, older_than=older_than, size=size)
        items = [_entry_json(entry, size_bytes, part) for entry, size_bytes in page.items]
        return Response({"items": items, "next": write_cursor(page.older_than)})


class OneState(Operation):
    """/state/{name}: an entry of the caller.

    An agent has its own part, which its owner reads as `<id of the agent>.<name>`; one that acts for its owner has the
    owner's entries.
    """

    authentication_classes = (StateKeeper,)

    @describe(
        "state_read",
        "Read what a script keeps",
        answers={(200, _ANY_TYPE): OpenApiTypes.BINARY, 304: None},
        errors=[NotFound, UnavailableAgent],
        parameters=[header("If-None-Match", "304 without a body if the entry still has this `ETag`.", _ETAGS_SCHEMA)],
    )
    def get(self, request: Request, name: str) -> HttpResponseBase:
        """Return the bytes as they were put, under their own type and with their `ETag`."""
        entry = read_state(owner_id=caller(request).owner_id, name=_full_name(request, name))
        headers = {"ETag": _quoted(entry)}
        wanted = Condition(none_match=_read_etags(request, "If-None-Match", weak=True))
        if not wanted.holds(etag_of(entry)):
            return Response(status=304, headers=headers)
        # The bytes are untrusted: a browser must not open them as one of our pages.
        headers |= {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return HttpResponse(bytes(entry.content), content_type=entry.content_type or _ANY_TYPE, headers=headers)

    @describe(
        "state_write",
        "Keep something for the next run",
        answers={201: None, 204: None},
        errors=[PreconditionFailed, StateLimit, UnavailableAgent],
        parameters=[_IF_MATCH, header("If-None-Match", "`*`: only if there is none yet.", _ETAGS_SCHEMA)],
        binary=True,
    )
    def put(self, request: Request, name: str) -> Response:
        """Write the entry whole, any bytes up to 64 KiB: 201 makes it, 204 replaces it. `ETag` names what was written.

        If several writers send the same `If-Match`, one succeeds and the others get 412.
        """
        condition = _read_condition(request)
        entry, is_new = write_state(
            owner_id=caller(request).owner_id,
            name=_full_name(request, name),
            content=self.read_bytes(request),
            content_type=_read_content_type(request),
            condition=condition,
        )
        return Response(status=201 if is_new else 204, headers={"ETag": _quoted(entry)})

    @describe(
        "state_delete",
        "Forget something",
        answers={204: None},
        errors=[NotFound, PreconditionFailed, UnavailableAgent],
        parameters=[_IF_MATCH],
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete the entry."""
        delete_state(
            owner_id=caller(request).owner_id,
            name=_full_name(request, name),
            condition=_read_condition(request),
        )
        return Response(status=204)


def _part(request: Request) -> str:
    """Return how the names of the caller's entries begin. An agent that does not act for its owner has its own part."""
    principal = caller(request)
    return "" if may(principal.holder, Power.SHARE_STATE) else f"{principal.agent_id}."


def _full_name(request: Request, name: str) -> str:
    """Return the stored name of an entry. Raises InvalidRequest if no room is left for the caller's part."""
    part = _part(request)
    if part and len(name) > STATE_NAME_LENGTH - len(part):
        raise InvalidRequest(WRONG_NAME, params={"limit": STATE_NAME_LENGTH - len(part)})
    return part + name


def _entry_json(entry: StateEntry, size_bytes: int, part: str) -> dict[str, object]:
    return {
        "name": entry.name.removeprefix(part),
        "size_bytes": size_bytes,
        "content_type": entry.content_type or _ANY_TYPE,
        "version": entry.version,
        "etag": _quoted(entry),
        "created_at": rfc3339(entry.created_at),
        "updated_at": rfc3339(entry.updated_at),
    }


def _quoted(entry: StateEntry) -> str:
    return f'"{etag_of(entry)}"'


def _read_condition(request: Request) -> Condition:
    return Condition(
        match=_read_etags(request, "If-Match", weak=False),
        none_match=_read_etags(request, "If-None-Match", weak=True),
    )


def _read_etags(request: Request, name: str, *, weak: bool) -> frozenset[str] | None:
    """Read a list of quoted ETags, or `*`; None without the header. `weak`: those marked weak count too (RFC 9110).

    An unquoted tag is refused: ignoring it would let a write through that the client wanted to stop.
    """
    value = request.headers.get(name)
    if value is None:
        return None
    if value.strip() == "*":
        return frozenset("*")
    if not _ETAGS.fullmatch(value):
        raise InvalidRequest(_("%(field)s is an ETag in its double quotes, or *."), params={"field": name})
    return frozenset(etag for mark, etag in _ETAG.findall(value) if weak or not mark)


def _read_content_type(request: Request) -> str:
    """Read the content type to store. A missing or overlong one counts as none."""
    sent = (request.headers.get("Content-Type") or "").strip()
    return sent if len(sent) <= 100 and _CONTENT_TYPE.fullmatch(sent) else ""
