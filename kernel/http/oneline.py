"""Read the fields of a one-line call, which takes every usual body: JSON, a form, plain text, or only a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from urllib.parse import parse_qs

from django.core.exceptions import SuspiciousOperation
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.strictjson import JsonObject, parse_object, without_mark
from kernel.text import unstorable_character

_FIELDS_LIMIT = 100
_REPLACEMENT = "\ufffd"
_FORM, _MULTIPART, _PLAIN = "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"


def read_fields(
    body: bytes, content_type: str | None, query: Callable[[str], Sequence[str]], *, others: Sequence[str] = ()
) -> JsonObject:
    """Return `message` and the fields called `others`, from the query where the body does not have them.

    `query` returns the values of a query parameter. `msg` is another name of `message`, and a number is taken as the
    text that it looks like. Raises InvalidRequest for a body that is not what its Content-Type says, and for a
    parameter that was sent twice.
    """
    sent = _read_body(without_mark(body), content_type or "")
    fields: JsonObject = {}
    for name in ("message", "msg", *others):
        value = sent.get(name)
        if value is None:
            value = _of_query(name, query(name))
        fields[name] = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    msg = fields.pop("msg")
    return fields | {"message": msg if fields["message"] is None else fields["message"]}


def _of_query(name: str, values: Sequence[str]) -> str | None:
    if len(values) > 1:
        raise InvalidRequest(_("%(field)s was sent twice."), params={"field": name})
    if values and (found := unstorable_character(values[0])):
        raise InvalidRequest(_("The text holds %(character)s, which cannot be kept."), params={"character": found})
    return values[0] if values else None


def _read_body(body: bytes, content_type: str) -> JsonObject:
    media = content_type.partition(";")[0].strip().lower()
    if not body.strip():
        return {}
    if media == _MULTIPART:
        return _read_multipart(body, content_type)
    # `curl -d` calls everything a form, and old clients send JSON as whatever their library chooses.
    if body.lstrip().startswith(b"{") and media != _PLAIN:
        return parse_object(body)
    if media.endswith(("/json", "+json")):
        return parse_object(body)
    if media == _FORM and b"=" in body:
        return _read_form(body)
    return _read_plain(body)


def _read_plain(body: bytes) -> JsonObject:
    """Read a text, or an object that came as plain text."""
    if body.lstrip().startswith(b"{"):
        try:
            return parse_object(body)
        except InvalidRequest:
            pass  # a text may begin with a brace
    try:
        return {"message": body.decode().rstrip("\r\n")}
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("The body is not UTF-8.")) from error


def _read_form(body: bytes) -> JsonObject:
    try:
        parsed = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise InvalidRequest(_("The form in the body is not percent-encoded UTF-8.")) from error
    return {name: values[0] for name, values in parsed.items()}


def _read_multipart(body: bytes, content_type: str) -> JsonObject:
    """Read the text fields of a form; files are left out."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        parsed, _files = MultiPartParser(meta, BytesIO(body), [], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise InvalidRequest(_("The form in the body cannot be read.")) from error
    fields: JsonObject = {name: str(value) for name, value in parsed.items()}
    # The parser replaces what is not UTF-8, and a text that was spoilt on its way must not be sent.
    if _REPLACEMENT.encode() not in body and any(_REPLACEMENT in str(value) for value in fields.values()):
        raise InvalidRequest(_("The body is not UTF-8."))
    return fields
