"""HTTP calls to other machines. The server has no other way to call an address, above all one that a user chose.

A user who chooses an address may try to reach what only this server can reach (SSRF): its own machine, the intranet,
the cloud's metadata. So the resolved IP address is checked when the connection is made, and exactly that address is
used. An earlier check could resolve to another address the second time (DNS rebinding). `requests-hardened` does this.
This module adds the networks that the library lets pass on some Python versions, the intranets that
LETSERVER_OUTBOUND_ALLOW opens, and the limits of a call: no redirects, no proxies and no passwords from the
environment, 3 s to connect, one deadline for the whole call (name resolution, TLS and a slow peer included), at most
64 KiB read of the answer, nothing decompressed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import requests
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from requests.adapters import HTTPAdapter
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from kernel.errors import InvalidRequest

PORTS = frozenset({80, 443, 8443})
ANSWER_BYTES = 64 * 1024
CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
URL_CHARACTERS = 2048

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Kind = Literal["refused", "timeout", "connect", "tls"]

# Only global unicast is public. `is_private` knows most other networks; these are missing on Python 3.11.
_NOT_PUBLIC_4 = tuple(map(ipaddress.ip_network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4")))
_GLOBAL_UNICAST_6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(ipaddress.ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


class OutboundError(Exception):
    """The call had no answer. `heard`: a connection was open, so the other side may have received the request.

    `refused`: this server does not call that address. The error holds neither the address nor the request.
    """

    def __init__(self, kind: Kind, *, heard: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.heard = heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a call. Header names are lower case; the body is not decoded and cut at 64 KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(url: str) -> str:
    """Return the address in its normal form; raise InvalidRequest if it can be refused without a DNS query.

    Allowed are https (http with LETSERVER_OUTBOUND_HTTP), the ports 443, 80 and 8443 (any port in the networks of
    LETSERVER_OUTBOUND_ALLOW), and no user or password. The resolved IP address is checked when the call connects.
    """
    parts = _parse(url)
    if parts is None or parts.host is None:
        raise InvalidRequest(_("This is not a valid address. Write it like https://host/path."))
    if parts.scheme != "https" and not settings.OUTBOUND_HTTP:
        raise InvalidRequest(_("The address must begin with https://."))
    address = _literal(parts.host)
    if address is not None and not (is_public(address) or _is_allowed(address)):
        raise InvalidRequest(_("This address is not public, so the server does not call it."))
    beyond = bool(settings.OUTBOUND_ALLOW) and (address is None or _is_allowed(address))
    if _port(parts) not in PORTS and not beyond:
        raise InvalidRequest(_("The port must be 443, 80 or 8443."))
    return parts.url


def is_public(address: Address) -> bool:
    """Tell whether an address is a unicast address of the public Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
    return not (address.is_private or any(address in network for network in _NOT_PUBLIC_4))


def post(url: str, *, body: bytes, headers: Mapping[str, str], total_seconds: float = TOTAL_SECONDS) -> Answer:
    """POST to an address that a user chose. Raises OutboundError."""
    try:
        checked = check_url(url)
    except InvalidRequest:
        raise OutboundError("refused") from None
    return _Exchange("POST", checked, body, headers, guarded=True).within(total_seconds)


def call_platform(
    method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], total_seconds: float = TOTAL_SECONDS
) -> Answer:
    """Call an address from this server's own settings, which may be in the intranet. Raises OutboundError."""
    return _Exchange(method, url, body, headers, guarded=False).within(total_seconds)


def _parse(url: str) -> Url | None:
    """Return the parts of an absolute address; None for any address that two parsers could read differently.

    The host is lower case ASCII, a name or an address in its usual spelling: 127.1 and 0x7f000001 are refused.
    """
    if len(url) > URL_CHARACTERS or any(ord(character) <= 32 or character in '\\"<>^`{|}\x7f' for character in url):
        return None
    if not re.match(r"https?://[^/?#@%]+([/?#]|$)", url, re.IGNORECASE):
        return None
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if parts.auth is not None or not parts.host or parts.port == 0:
        return None
    name = parts.host.removesuffix(".")
    if _literal(parts.host) is None:
        labels = name.split(".")
        if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)) or re.fullmatch(r"0x[0-9a-f]*|\d+", labels[-1]):
            return None
    return parts._replace(host=name, fragment=None)


def _literal(host: str) -> Address | None:
    """Return the IP address if the host is one; None for a name."""
    try:
        return ipaddress.IPv6Address(host[1:-1]) if host.startswith("[") else ipaddress.IPv4Address(host)
    except ValueError:
        return None


def _port(parts: Url) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_allowed(address: Address) -> bool:
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ipaddress.ip_network(network) for network in settings.OUTBOUND_ALLOW)


_running = threading.local()
"""`.exchange`: the exchange that this thread runs."""


class _PlainConnection(HTTPConnection):
    """A connection that its exchange can close from another thread."""

    def connect(self) -> None:
        super().connect()
        _running.exchange.connected(self.sock)


class _SecureConnection(HTTPSConnection):
    """The same with TLS."""

    def connect(self) -> None:
        super().connect()
        _running.exchange.connected(self.sock)


class _ClosableAdapter(HTTPAdapter):
    """Opens connections that can be closed from another thread."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool that makes the connection."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _PlainConnection
        return pool


class _GuardedAdapter(_ClosableAdapter, IPFilterAdapter):  # type: ignore[misc]  # the library has no types
    """Opens such connections, but only to addresses that may be called."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Return the host and TLS settings of a connection, the host replaced by the IP address that was checked.

        Raises InvalidIPAddress.
        """
        try:
            host, tls = super().build_connection_pool_key_attributes(request, verify, cert)
        except InvalidIPAddress as error:
            # The library can only except loopback; LETSERVER_OUTBOUND_ALLOW excepts whole networks.
            (address,) = error.args
            if not _is_allowed(address):
                raise
            host, tls = cast(Any, HTTPAdapter.build_connection_pool_key_attributes(self, request, verify, cert))
            if host["scheme"] == "https":
                tls["assert_hostname"] = tls["server_hostname"] = host["host"]
            return {**host, "host": f"[{address}]" if address.version == 6 else str(address)}, tls
        address = _literal(host["host"])
        allowed = address is not None and _is_allowed(address)
        port_open = (host["port"] or (443 if host["scheme"] == "https" else 80)) in PORTS
        if address is None or not (allowed or (is_public(address) and port_open)):
            raise InvalidIPAddress(address)
        return host, tls


class _Exchange:
    """One request and its answer, on its own thread, so that the deadline also covers a DNS resolver that hangs."""

    def __init__(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, guarded: bool) -> None:
        self._request = requests.Request(method, url, data=body, headers={**headers, "Accept-Encoding": "identity"})
        self._guarded = guarded
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._too_late = False
        self._outcome: Answer | OutboundError | None = None

    def within(self, seconds: float) -> Answer:
        """Return the answer, or raise OutboundError, within `seconds`."""
        thread = threading.Thread(target=self._run, name="outbound", daemon=True)
        thread.start()
        thread.join(seconds)
        with self._lock:
            outcome = self._outcome
            if outcome is None:
                self._too_late = True
                outcome = OutboundError("timeout", heard=self._socket is not None)
                self._hang_up()
        if isinstance(outcome, OutboundError):
            raise outcome
        return outcome

    def connected(self, connected: socket.socket) -> None:
        """Note the connection; close it if the deadline has passed."""
        with self._lock:
            self._socket = connected
            if self._too_late:
                self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            try:
                # SSLSocket.shutdown would send close_notify first and could block.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # the exchange's own thread has closed it already

    def _run(self) -> None:
        _running.exchange = self
        outcome: Answer | OutboundError
        try:
            outcome = self._converse()
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            outcome = OutboundError(_kind(error), heard=self._socket is not None)
        with self._lock:
            self._outcome = outcome

    def _adapter(self, *, is_https_proto: bool) -> HTTPAdapter:
        return _GuardedAdapter(is_https_proto) if self._guarded else _ClosableAdapter()

    def _converse(self) -> Answer:
        config = Config(
            ip_filter_enable=False,  # our adapters, mounted below, are the filter
            ip_filter_allow_loopback_ips=False,
            never_redirect=True,
            default_timeout=(CONNECT_SECONDS, TOTAL_SECONDS),
            user_agent_override="LetServer",
        )
        with HTTPSession(config) as session:
            session.trust_env = False
            for scheme in ("http", "https"):
                session.mount(f"{scheme}://", self._adapter(is_https_proto=scheme == "https"))
            with session.send(session.prepare_request(self._request), stream=True) as response:
                try:
                    body = response.raw.read(ANSWER_BYTES, decode_content=False)
                except (HTTPError, OSError):
                    body = b""  # the connection broke after the status line, and the status decides
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=headers, body=body)


def _kind(error: Exception) -> Kind:
    """Return our kind of failure for an exception of the libraries."""
    match error:
        case InvalidIPAddress() | requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return "refused"
        case requests.exceptions.SSLError() | ssl.SSLError():
            return "tls"
        case requests.Timeout() | TimeoutError():
            return "timeout"
    return "connect"
