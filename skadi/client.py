"""One keep-alive connection to the server, for one thread. Other threads may cut its request.

It uses `http.client`, because `urllib` follows redirects and sends the token to the new host. This client follows none.
A reply has a maximum size and a deadline, so that no server can block the agent or fill its memory.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import unquote, urlsplit

from skadi import __version__
from skadi.config import LOOPBACK, Server

CONNECT_SECONDS = 3.0
MAX_REPLY_BYTES = 1024 * 1024
PROTOCOL = 2
TRY_AGAIN = (408, 425, 429)  # the 4xx that do not reject the request itself, so that a retry may succeed
CUT_STATUSES = (408, 502, 504)  # a proxy sends these for a request that it held too long


class Unreachable(Exception):
    """There is no usable reply. `cut` is true if the connection ended after the server had accepted the request."""

    def __init__(self, message: str, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


@dataclass(frozen=True)
class Reply:
    """An HTTP reply. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, or None if it is not valid JSON."""
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError):
            return None

    def protocol(self) -> int:
        """Return the server's protocol: 2, or 1 without a header. A proxy's error page looks like 1."""
        return PROTOCOL if self.headers.get("skadi-protocol", "").strip() == str(PROTOCOL) else 1

    def error_code(self) -> str:
        """Return the `error` of an error body, or ""."""
        body = self.json()
        code = body.get("error") if isinstance(body, dict) else ""
        return code if isinstance(code, str) else ""

    def retry_after(self, most: float) -> float | None:
        """Return the seconds of Retry-After, at most `most`; None without the header, or if it is a date."""
        text = self.headers.get("retry-after", "")
        return min(float(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else None


def agent_header() -> str:
    """Return version and platform, such as `2.0.0 linux-x86_64`."""
    system = os.uname()
    return f"{__version__} {system.sysname.lower()}-{system.machine}"


def proxy_for(server: Server, environment: Mapping[str, str]) -> str:
    """Return the proxy that reaches a server through CONNECT, or "". Plain http never uses a proxy."""
    if not server.secure or LOOPBACK.match(server.host):
        return ""
    for item in (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(","):
        name = item.strip().lower().lstrip("*").lstrip(".").partition(":")[0]
        if item.strip() == "*" or (name and (server.host == name or server.host.endswith("." + name))):
            return ""
    return environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""


class Client:
    """Send requests to the server, one at a time. Any thread may call `interrupt` and `enforce_deadline`."""

    def __init__(self, server: Server, token: str, environment: Mapping[str, str] = os.environ) -> None:
        self.server = server
        self.token = token
        self.proxy = proxy_for(server, environment)
        self._connection: http.client.HTTPConnection | None = None
        self._used = False
        self._lock = threading.Lock()
        self._stopped = False
        self._interrupted = False
        self._deadline: float | None = None

    def request(
        self, method: str, path: str, body: Any = None, seconds: float = 10.0, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request and read the whole reply. Raises Unreachable.

        A body is sent as JSON, or as it is if it is bytes. `headers` override the default ones. If a kept-alive
        connection turns out to be closed, the request is sent again on a new one: the server had closed it while it was
        idle.
        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode("utf-8")
        while True:
            reused = self._connection is not None and self._used
            self._interrupted = False
            began = time.monotonic()
            try:
                return self._once(method, path, data, seconds, headers or {})
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                self.close()
                if reused and time.monotonic() - began < 1 and not self._interrupted:
                    continue
                raise Unreachable("the server closed the connection", cut=True) from error
            except socket.timeout as error:
                self.close()
                raise Unreachable("no answer in time", cut=True) from error
            except http.client.IncompleteRead as error:
                self.close()
                raise Unreachable("the answer was cut off", cut=True) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                raise Unreachable(f"{type(error).__name__}: {error}") from error
            finally:
                self._deadline = None

    def _once(self, method: str, path: str, data: bytes | None, seconds: float, extra: Mapping[str, str]) -> Reply:
        self._deadline = time.monotonic() + seconds + CONNECT_SECONDS
        connection = self._connect()
        headers = {
            "Authorization": "Bearer " + self.token,
            "Content-Type": "application/json",
            "User-Agent": "skadi/" + __version__,
            "Skadi-Agent": agent_header(),
            "Skadi-Protocol": str(PROTOCOL),
            **extra,
        }
        connection.sock.settimeout(seconds)
        connection.request(method, self.server.prefix + path, body=data, headers=headers)
        response = connection.getresponse()
        content = response.read(MAX_REPLY_BYTES + 1)
        if response.length and len(content) <= MAX_REPLY_BYTES:
            raise http.client.IncompleteRead(content, response.length)  # read(n) raises nothing for a short body
        if len(content) > MAX_REPLY_BYTES:
            raise ValueError(f"an answer of more than {MAX_REPLY_BYTES} bytes")
        if response.will_close or not response.isclosed():
            self.close()
        self._used = True
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connect(self) -> http.client.HTTPConnection:
        if self._stopped:
            raise OSError("stopped")
        if self._connection is not None and self._connection.sock is not None:
            return self._connection
        connection = self._new_connection()
        connection.connect()
        with self._lock:
            self._connection = connection
            self._used = False
        if self._stopped:
            raise OSError("stopped")
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        server = self.server
        if not server.secure:
            return http.client.HTTPConnection(server.host, server.port, timeout=CONNECT_SECONDS)
        # Imported here, because small systems have a Python without ssl; it can still use a server on loopback.
        import ssl

        context = ssl.create_default_context()
        if not self.proxy:
            return http.client.HTTPSConnection(server.host, server.port, timeout=CONNECT_SECONDS, context=context)
        proxy = urlsplit(self.proxy if "://" in self.proxy else "http://" + self.proxy)
        connection = http.client.HTTPSConnection(
            proxy.hostname or "", proxy.port or 8080, timeout=CONNECT_SECONDS, context=context
        )
        headers = {}
        if proxy.username:
            login = "{}:{}".format(unquote(proxy.username), unquote(proxy.password or ""))
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode("utf-8")).decode("ascii")
        connection.set_tunnel(server.host, server.port, headers)
        return connection

    def interrupt(self, stop: bool = False) -> None:
        """Cut the request that another thread waits for. With `stop`, refuse every later one as well."""
        with self._lock:
            self._interrupted = True
            self._stopped = self._stopped or stop
            sock = self._connection.sock if self._connection is not None else None
        if sock is not None:
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # the connection is closed already

    def enforce_deadline(self, now: float) -> None:
        """Cut a reply that arrives so slowly that the timeout of a single read never ends it."""
        deadline = self._deadline
        if deadline is not None and now > deadline:
            self.interrupt()

    def close(self) -> None:
        """Close the connection. The next request opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
