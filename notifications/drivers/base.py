"""The base of every driver: a form, limits, a table of the service's errors, and `send`."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from django import forms
from django.utils.translation import gettext_lazy as _

from kernel import outbound
from kernel.clock import approximate_now
from kernel.text import Unit, cut, size_in
from notifications.drivers.parcel import Parcel

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Words: TypeAlias = "str | _StrPromise"

_DAY_SECONDS = 86_400.0


class Fault(StrEnum):
    """The kinds of failure, by what to do about them."""

    RETRY = "retry"  # the same again later: it is busy, or did not answer
    PERMANENT = "permanent"  # this message is refused for good, the channel is sound: the next channel
    QUOTA = "quota"  # too many for now: later, or the next channel
    WINDOW = "window"  # the person must say something first: another way, or the next channel
    AUTH = "auth"  # the channel is broken until its owner fixes it: it is switched off


class ChannelError(Exception):
    """A service did not take a message. The error holds neither a secret nor the text.

    `code` is the provider's, or `http <status>`, or a code of `NO_ANSWER`. `unheard` is set if the service did not
    answer, so that it may have the message.
    """

    def __init__(
        self, kind: Fault, code: str, *, retry_after_seconds: float | None = None, unheard: bool = False
    ) -> None:
        super().__init__(f"{kind}: {code[:64]}")
        self.kind = kind
        self.code = code[:64]
        self.retry_after_seconds = retry_after_seconds
        self.unheard = unheard


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A service's answer to a message that it took. `note` is "cut" if only the beginning was sent."""

    provider_id: str = ""
    code: str = "0"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `number` in any `seconds`, as the platform counts."""

    number: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One row of a driver's table: the service's code, the kind of failure, and its meaning for a person."""

    code: str
    kind: Fault
    meaning: Words
    retry_after_seconds: float | None = None


HTTP_TROUBLES = (
    Trouble(code="http 400", kind=Fault.PERMANENT, meaning=_("the service cannot read the message")),
    Trouble(code="http 401", kind=Fault.AUTH, meaning=_("the service refuses the key")),
    Trouble(code="http 403", kind=Fault.AUTH, meaning=_("the service refuses the key or blocks us")),
    Trouble(code="http 404", kind=Fault.AUTH, meaning=_("the address is unknown or was withdrawn")),
    Trouble(code="http 408", kind=Fault.RETRY, meaning=_("the service was too slow")),
    Trouble(code="http 410", kind=Fault.AUTH, meaning=_("the address is gone for good")),
    Trouble(code="http 413", kind=Fault.PERMANENT, meaning=_("the message is too long for the service")),
    Trouble(code="http 429", kind=Fault.QUOTA, meaning=_("too many messages for now")),
)
"""The meaning of HTTP statuses that are not in a driver's own table; 5xx is retried."""

NO_ANSWER = (
    Trouble(code="timeout", kind=Fault.RETRY, meaning=_("no answer in time")),
    Trouble(code="connect", kind=Fault.RETRY, meaning=_("no connection, or it was lost")),
    Trouble(code="tls", kind=Fault.RETRY, meaning=_("the certificate is not valid for the address")),
    Trouble(code="refused", kind=Fault.AUTH, meaning=_("this server does not call that address")),
    Trouble(code="settings", kind=Fault.AUTH, meaning=_("the channel's settings are not valid")),
    Trouble(code="garbled", kind=Fault.RETRY, meaning=_("the answer cannot be read")),
)
"""Our own codes, for a service that did not answer or whose answer cannot be read."""


class SecretField(forms.CharField):
    """A value that pages accept but never show again."""

    def __init__(self, **options: object) -> None:
        super().__init__(widget=forms.PasswordInput(attrs={"autocomplete": "off"}), **options)  # type: ignore[arg-type]


class Driver(ABC):
    """One service. An instance has no state: the settings of a channel come with every call."""

    name: ClassVar[str]
    label: ClassVar[Words]
    form: ClassVar[type[forms.Form]]
    rates: ClassVar[tuple[Rate, ...]] = ()
    longest: ClassVar[int]
    unit: ClassVar[Unit]
    ways: ClassVar[tuple[str, ...]] = ("",)
    personal: ClassVar[bool] = False
    """Set if a bound chat identity makes the channel, not a form."""
    confirmed_by: ClassVar[str] = ""
    """The setting with an address whose reader must confirm it before messages are sent there."""
    counted_by: ClassVar[tuple[str, ...]] = ()
    """The settings by which the platform counts."""
    troubles: ClassVar[tuple[Trouble, ...]] = ()
    limits: ClassVar[Words] = ""
    """Further limits of the platform, for the table of docs/channels.md."""

    @abstractmethod
    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Send the parcel within 10 s. Raises ChannelError."""

    def ways_for(self, way: str) -> tuple[str, ...]:
        """Return the ways to try, in order, for a message that asks for `way` (template, text, auto or nothing)."""
        return (way,) if way in self.ways else self.ways

    def meter(self, settings: Mapping[str, object], address: str | None = None) -> str:
        """Return a digest of the settings by which the platform counts: two channels with the same robot share it.

        `address` is that of a channel which a chat identity has made.
        """
        subject = "\0".join([*(str(settings.get(field, "")) for field in self.counted_by), address or ""])
        return f"{self.name}:{hashlib.sha256(subject.encode()).hexdigest()[:32]}"

    @classmethod
    def secret_fields(cls) -> frozenset[str]:
        """Return the names of the settings that are never shown again."""
        return frozenset(name for name, field in cls.form.base_fields.items() if isinstance(field, SecretField))

    def explain(self, code: str) -> Words:
        """Return the meaning of a code; empty if no table has it."""
        trouble = self._trouble(code)
        return trouble.meaning if trouble else ""

    def refuse(self, code: str | int, *, retry_after_seconds: float | None = None) -> ChannelError:
        """Return the error for a code of the table; an unknown code refuses this message only."""
        trouble = self._trouble(str(code))
        if trouble is None:
            kind = Fault.RETRY if str(code).startswith("http 5") else Fault.PERMANENT
            return ChannelError(kind, str(code), retry_after_seconds=retry_after_seconds)
        return ChannelError(
            trouble.kind, trouble.code, retry_after_seconds=retry_after_seconds or trouble.retry_after_seconds
        )

    def fit(self, text: str, parcel: Parcel, longest: int | None = None) -> tuple[str, str]:
        """Return `text` within the service's limit and the receipt's note.

        A text that is cut ends with an ellipsis and the address of the page with all of it.
        """
        limit = self.longest if longest is None else longest
        if size_in(text, self.unit) <= limit:
            return text, ""
        end = f"… {parcel.detail_url}" if parcel.detail_url else "…"
        if size_in(end, self.unit) > limit // 2:
            end = "…"
        return cut(text, limit - size_in(end, self.unit), self.unit).rstrip() + end, "cut"

    def call(
        self,
        url: str,
        payload: object | None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        total_seconds: float = outbound.TOTAL_SECONDS,
    ) -> dict[str, object]:
        """Call a platform whose address comes from this server's settings, and return the JSON object that it answers.

        Raises ChannelError without an answer, for a status other than 2xx, and for an answer that is not an object.
        """
        answer = self.reach(url, payload, method=method, headers=headers, total_seconds=total_seconds)
        return read_object(self.accept(answer))

    def reach(
        self,
        url: str,
        payload: object | None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        total_seconds: float = outbound.TOTAL_SECONDS,
    ) -> outbound.Answer:
        """Send `payload` as JSON to such a platform. Raises ChannelError without an answer."""
        body = None if payload is None else json.dumps(payload, ensure_ascii=False).encode()
        if total_seconds <= 0:
            raise ChannelError(Fault.RETRY, "timeout")
        typed = {} if body is None else {"Content-Type": "application/json; charset=utf-8"}
        try:
            return outbound.call_platform(
                method, url, body=body, headers={**typed, **(headers or {})}, total_seconds=total_seconds
            )
        except outbound.OutboundError as error:
            raise no_answer(error) from None

    def accept(self, answer: outbound.Answer) -> outbound.Answer:
        """Return the answer if its status is 2xx. Raises ChannelError for any other."""
        if not 200 <= answer.status < 300:
            raise self.refuse(f"http {answer.status}", retry_after_seconds=retry_after(answer))
        return answer

    def _trouble(self, code: str) -> Trouble | None:
        return next((row for row in (*self.troubles, *HTTP_TROUBLES, *NO_ANSWER) if row.code == code), None)


def no_answer(error: outbound.OutboundError) -> ChannelError:
    """Return the error for a call without an answer."""
    kind = next(row.kind for row in NO_ANSWER if row.code == error.kind)
    return ChannelError(kind, error.kind, unheard=error.heard)


def look_inside(answer: outbound.Answer) -> dict[str, object]:
    """Return the JSON object in a refusal, empty without one: then only the status counts."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_object(answer: outbound.Answer) -> dict[str, object]:
    """Return the JSON object in an answer. Raises ChannelError for anything else, such as a proxy's page."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ChannelError(Fault.RETRY, "garbled", unheard=True)
    return value


def retry_after(answer: outbound.Answer) -> float | None:
    """Return for how many seconds the header Retry-After (RFC 9110, 10.2.3) asks, at most a day; None without one."""
    header = answer.headers.get("retry-after", "").strip()
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), _DAY_SECONDS)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max((at - approximate_now()).total_seconds(), 0.0), _DAY_SECONDS)
