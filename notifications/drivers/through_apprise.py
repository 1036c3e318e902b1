"""Drivers that use apprise for the shape of a message, and our own HTTP call to send it.

apprise's plugins know how to build a message for Discord or ntfy. They call `requests` themselves, without a guard
against addresses inside our network and without a limit on the answer. They return True or False, for some services
True whatever the answer was. apprise has no hook for that, so `requests` in the modules of the plugins that we use is
replaced by `_Wire`, which calls through `kernel.outbound` and lets the driver check the answer. A plugin is built from
its own arguments, never from a URL that a person typed, and used for one message.
"""

from __future__ import annotations

import functools
import importlib
import json
import threading
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import requests
from apprise import AppriseAsset, NotifyFormat
from apprise.exception import AppriseException
from django import forms

from kernel import outbound
from kernel.errors import InvalidRequest
from kernel.text import cut
from notifications.drivers.base import ChannelError, Driver, Fault, Receipt, no_answer
from notifications.drivers.parcel import Parcel

_sending = threading.local()
"""`.one` is the message that this thread sends now."""


class ServerField(forms.CharField):
    """The address of a server that the person runs or has chosen."""

    def __init__(self, **options: object) -> None:
        super().__init__(max_length=255, **options)  # type: ignore[arg-type]

    def clean(self, value: object) -> str:
        """Refuse an address that this server does not call."""
        given: str = super().clean(value)
        try:
            return outbound.check_url(given.strip()).rstrip("/") if given else ""
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from None


class ThroughApprise(Driver):
    """A driver whose messages are put together by the plugin `plugin` of apprise's module `service`."""

    service: ClassVar[str]
    plugin: ClassVar[str]
    chosen: ClassVar[bool] = False
    """Set if the person has chosen the server: only public addresses and allowed networks are called."""

    attributes: ClassVar[Mapping[str, object]] = {}
    """Attributes to set on the plugin, besides its arguments."""
    title_characters: ClassVar[int] = 100

    @abstractmethod
    def origin(self, settings: Mapping[str, object]) -> str:
        """Return scheme and host (and path before that of the service) to call."""

    @abstractmethod
    def options(self, parcel: Parcel, settings: Mapping[str, object]) -> dict[str, object]:
        """Return the arguments of the plugin."""

    def title(self, parcel: Parcel) -> str:
        """Return the title within the service's limit."""
        return cut(parcel.head(), self.title_characters, "characters")

    def body(self, parcel: Parcel) -> str:
        """Return everything under the title."""
        return "\n".join(filter(None, [parcel.words(), parcel.answers(), parcel.url]))

    def read_answer(self, answer: outbound.Answer) -> str:
        """Return the service's id of the message, empty if it gives none. Raises ChannelError for a refusal."""
        self.accept(answer)
        return ""

    def send(self, parcel: Parcel, settings: Mapping[str, object]) -> Receipt:
        """Let the plugin build the message and call through `_Wire`."""
        body, note = self.fit(self.body(parcel), parcel)
        try:
            plugin = _plugin(self.service, self.plugin)(asset=_asset(), **self.options(parcel, settings))
        except AppriseException:
            # The plugin refuses an argument, and its error text may repeat it.
            raise ChannelError(Fault.AUTH, "settings") from None
        for name, value in self.attributes.items():
            setattr(plugin, name, value)
        plugin.request_rate_per_sec = 0  # the caller keeps the pace; a driver must not sleep
        plugin.notify_format = NotifyFormat.MARKDOWN if parcel.format == "markdown" else NotifyFormat.TEXT
        sending = _Sending(driver=self, origin=self.origin(settings))
        _sending.one = sending
        try:
            taken = plugin.send(body=body, title=self.title(parcel))
        finally:
            _sending.one = None
        if not taken or sending.provider_id is None:
            raise ChannelError(Fault.PERMANENT, "refused by apprise")
        return Receipt(provider_id=sending.provider_id, note=note)


@dataclass(slots=True, kw_only=True)
class _Sending:
    driver: ThroughApprise
    origin: str
    provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """The parts of an answer that plugins read."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]


class _Wire:
    """Replaces `requests` in a plugin's module. A failure passes through the plugin as a ChannelError."""

    codes = requests.codes
    RequestException = requests.RequestException

    def post(self, url: str, **call: Any) -> _Reply:
        """POST the plugin's message to the server that the driver names."""
        return self.request("POST", url, **call)

    def request(self, method: str, url: str, **call: Any) -> _Reply:
        """Send the plugin's message. Its transport options (verify, timeout, …) are ignored; ours apply."""
        sending: _Sending = _sending.one
        shape = {name: call.get(name) for name in ("params", "data", "headers", "auth")}
        made = requests.Request(method, url, **shape).prepare()
        body = made.body.encode() if isinstance(made.body, str) else made.body
        if body and "json" in made.headers.get("Content-Type", ""):
            # Plugins escape whatever is not ASCII: twice as long for Chinese, and services count what arrives.
            body = json.dumps(json.loads(body), ensure_ascii=False).encode()
        headers = {name: value for name, value in made.headers.items() if name.lower() != "content-length"}
        target = sending.origin + made.path_url
        try:
            if sending.driver.chosen:
                answer = outbound.post(target, body=body or b"", headers=headers)
            else:
                answer = outbound.call_platform(method, target, body=body, headers=headers)
        except outbound.OutboundError as error:
            raise no_answer(error) from None
        sending.provider_id = sending.driver.read_answer(answer)
        return _Reply(status_code=answer.status, content=answer.body, headers=answer.headers)


@functools.cache
def _plugin(service: str, name: str) -> Any:
    module = importlib.import_module(f"apprise.plugins.{service}")
    if not hasattr(module, "requests"):
        raise RuntimeError(f"apprise's {service} does not call requests any more: it needs another hook")
    module.requests = _Wire()  # type: ignore[attr-defined]
    return getattr(module, name)


@functools.cache
def _asset() -> AppriseAsset:
    """Return an asset that keeps apprise from reading templates, storing data and logging secrets."""
    return AppriseAsset(
        async_mode=False,
        http_redirects=False,
        allow_templates=False,
        storage_mode="memory",
        secure_logging=True,
        app_id="LetServer",
        app_desc="LetServer",
        app_url="",
    )
