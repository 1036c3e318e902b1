"""Our additions to the OpenAPI schema that drf-spectacular generates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from kernel.errors import (
    AppError,
    Forbidden,
    InvalidRequest,
    InvalidToken,
    LimitExceeded,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from kernel.http.bodies import Description
from kernel.http.idempotency import IDEMPOTENCY_KEY_LENGTH
from kernel.http.rest import Operation, Takes

_TIME_PATTERN = (
    r"^[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_WITH_TOKEN = (InvalidToken, Unauthorized, Forbidden, LimitExceeded)


class OperationSchema(AutoSchema):
    """Schema of one operation; its tag is the first word of the path."""

    def get_tags(self) -> list[str]:
        """Return the first word of the path as the only tag."""
        return [self.path.strip("/").split("/")[0]]

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        """Add what `checked_body` requires of a body beyond what drf-spectacular draws."""
        drawn = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if direction != "request":
            return drawn
        pattern = _TIME_PATTERN if isinstance(field, serializers.DateTimeField) else getattr(field, "pattern", None)
        if pattern:
            return {**drawn, "pattern": pattern}
        if isinstance(field, serializers.ListSerializer):
            sizes = {"minItems": getattr(field, "min_length", None), "maxItems": getattr(field, "max_length", None)}
            return {**drawn, **{name: size for name, size in sizes.items() if size is not None}}
        return drawn

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        """Say that a body which `checked_body` reads has no other fields."""
        drawn = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        closed = direction == "request" and isinstance(serializer, Description)
        return {**drawn, "additionalProperties": False} if closed else drawn

    def get_auth(self) -> list[dict[str, list[str]]]:
        """Return the kinds of token that the operation accepts; one of them is enough."""
        accepted = self.view.get_authenticators()
        return [{scheme: []} for authenticator in accepted for scheme in getattr(authenticator, "schemes", ())]


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error has this shape."""

    error = serializers.CharField(help_text="A code in TitleCase that never changes.")
    message = serializers.CharField(help_text="A sentence for people, in English or Chinese as Accept-Language asks.")


def only_operations(endpoints: Iterable[tuple[str, str, str, Callable[..., Any]]]) -> list[Any]:
    """Keep only endpoints that are subclasses of `Operation`."""
    return [endpoint for endpoint in endpoints if issubclass(getattr(endpoint[3], "cls", object), Operation)]


def describe(
    operation_id: str,
    summary: str,
    *,
    answers: Mapping[int | tuple[int, str], Any],
    errors: Sequence[type[AppError]] = (),
    request: type[serializers.Serializer[Any]] | None = None,
    parameters: Sequence[OpenApiParameter] = (),
    with_token: bool = True,
    binary: bool = False,
    form: bool = False,
    one_line: bool = False,
    gateway: bool = False,
) -> Callable[[Any], Any]:
    """Describe an operation for the schema.

    `answers` maps a status, or a status and a media type if that is not JSON, to a serializer; None is an empty body.
    `errors` are the operation's own; those of every call, of tokens and of bodies are added. With `form` the request's
    fields come in a form, with `binary` the body is raw bytes, with `one_line` it is what `kernel.http.oneline` reads.
    `gateway`: the gateway answers this call.
    """
    possible = [
        *errors,
        InvalidRequest,
        Unavailable,
        *(_WITH_TOKEN if with_token else ()),
        *([TooLarge] if request or binary else []),
    ]
    body: dict[str, Any] | None = {"application/json": request} if request else None
    if binary:
        body = {"application/octet-stream": OpenApiTypes.BINARY}
    if form:
        body = {"application/x-www-form-urlencoded": request, "multipart/form-data": request}
    if one_line:
        body = dict.fromkeys(("application/json", "application/x-www-form-urlencoded", "multipart/form-data"), request)
        body["text/plain"] = OpenApiTypes.STR
    responses = {status: _answer(answer) for status, answer in answers.items()} | _errors(possible)
    draw = extend_schema(
        operation_id=operation_id,
        summary=summary,
        request=body,
        parameters=list(parameters),
        responses=responses,
        extensions={"x-gateway": True} if gateway else None,
    )
    names = frozenset(one.name for one in parameters if one.location == OpenApiParameter.QUERY)

    def mark(method: Any) -> Any:
        method.takes = Takes(parameters=names, body=body is not None, gateway=gateway)
        return draw(method)

    return mark


def query(name: str, description: str, kind: Any = str, **more: Any) -> OpenApiParameter:
    """Describe a query parameter. `kind` is a type or a JSON schema."""
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **more)


def whole_number(low: int, high: int | None = None) -> dict[str, Any]:
    """Return the JSON schema of a whole number from `low` to `high`."""
    return {"type": "integer", "minimum": low} | ({} if high is None else {"maximum": high})


def text_of(low: int, high: int | None = None) -> dict[str, Any]:
    """Return the JSON schema of a text of `low` to `high` characters."""
    return {"type": "string", "minLength": low} | ({} if high is None else {"maxLength": high})


def time_query(name: str, description: str) -> OpenApiParameter:
    """Describe a query parameter that is a time with a zone."""
    return query(name, description, {"type": "string", "format": "date-time", "pattern": _TIME_PATTERN})


def wait_query(description: str) -> OpenApiParameter:
    """Describe `?wait=`: seconds to hold the call. More than 55 counts as 55."""
    return query("wait", f"{description}, at most 55.", whole_number(0, 999_999_999))


PAGE_QUERY = (
    query("limit", "How many, 1 to 100; 50 without it.", whole_number(1, 100)),
    query("cursor", "`next` of the page before.", text_of(1)),
)
"""The query of every list."""


def header(name: str, description: str, kind: Any = str) -> OpenApiParameter:
    """Describe a request header. `kind` is a type or a JSON schema."""
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description)


def idempotency_header(description: str) -> OpenApiParameter:
    """Describe the header `Idempotency-Key`."""
    return header("Idempotency-Key", description, {**text_of(1, IDEMPOTENCY_KEY_LENGTH), "pattern": r"\S"})


def _answer(answer: Any) -> Any:
    return OpenApiResponse(description="Done; the body is empty.") if answer is None else answer


def _errors(possible: Iterable[type[AppError]]) -> dict[int, OpenApiResponse]:
    """Return one response per status; its description lists the error codes of that status."""
    lines: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for error in possible:
        lines[error.status][f"`{error.code}`: {(error.__doc__ or '').splitlines()[0]}"] = None
    return {
        status: OpenApiResponse(ErrorSerializer, description="\n".join(f"- {line}" for line in said))
        for status, said in sorted(lines.items())
    }
