"""One keep-alive connection to the server, for one thread. Other threads may cut its request.

It uses `http.client`, because `urllib` follows redirects and sends the token to the new host. This client follows none.
A reply has a maximum size and a deadline, so that no server can block the agent or fill its memory. The size counts all
bytes: status lines, interim replies such as `100 Continue`, headers, chunk sizes and trailers, which `http.client`
would read without end.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Mapping, cast
from urllib.parse import unquote, urlsplit

from skadi import __version__
from skadi.config import LOOPBACK, Server
from skadi.safe_text import storable

CONNECT_SECONDS = 3.0
MAX_REPLY_BYTES = 64 * 1024  # a job has at most 4 KiB of text, which JSON may write six times as long
MAX_HEAD_BYTES = 32 * 1024
CHUNK_OVERHEAD = 2  # how many bytes a chunked body may have for each of its content
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


class _Bounded(io.RawIOBase):
    """The bytes of one reply from a socket. Raises ValueError when there are more than `left`."""

    def __init__(self, raw: io.RawIOBase, left: int) -> None:
        self.raw = raw
        self.left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self.raw.readinto(buffer)
        self.left -= count or 0
        if self.left < 0:
            raise ValueError("an answer that does not end")
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A reply whose head and body are bounded. Only `100 Continue` may come before it."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.bounded = _Bounded(self.fp.detach(), MAX_HEAD_BYTES)
        self.fp = io.BufferedReader(self.bounded)

    def begin(self) -> None:
        super().begin()
        if self.status < 200:
            raise ValueError(f"an answer with the status {self.status}")

    def read_body(self, most: int) -> bytes:
        """Return the whole body. Raises ValueError for more than `most` bytes, and IncompleteRead."""
        self.bounded.left = most * (1 + CHUNK_OVERHEAD)
        content = self.read(most + 1)
        if self.length and len(content) <= most:
            raise http.client.IncompleteRead(content, self.length)  # read(n) raises nothing for a short body
        if len(content) > most:
            raise ValueError(f"an answer of more than {most} bytes")
        return content


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

    def __init__(
        self,
        server: Server,
        token: str,
        environment: Mapping[str, str] = os.environ,
        most_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self.server = server
        self.most_bytes = most_bytes
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
        data = body
        if body is not None and not isinstance(body, bytes):
            data = storable(json.dumps(body, ensure_ascii=False)).encode("utf-8")
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
        response = cast(_Response, connection.getresponse())
        content = response.read_body(self.most_bytes)
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
        connection = self._plain_connection()
        connection.response_class = _Response
        return connection

    def _plain_connection(self) -> http.client.HTTPConnection:
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
