"""The web port: known to be free before anything starts, handed to the web processes as open sockets."""

from __future__ import annotations

import socket

from letserver.up.words import port_refusal

_BACKLOG = 8192


class WebPort:
    """Makes the listening sockets of the web processes.

    The first is made at once, so that a busy port is known before anything starts. The caller that takes a socket
    closes it after passing it on; a supervisor that kept it open would accept connections and never answer them. One
    web process has the port to itself. Several share it through SO_REUSEPORT, each with its own queue, so a process
    that dies loses only its own queue. A shared socket made later is bound but does not listen until its process is
    ready, because the kernel would send it a share of the connections at once.
    """

    def __init__(self, *, host: str, port: int, shared: bool) -> None:
        self._host = host
        self._port = port
        self._shared = shared
        try:
            if shared:
                # Any process of this user could join a shared port; an exclusive bind first shows whether it is busy.
                self._open(shared=False, listening=True).close()
            self._first: socket.socket | None = self._open(shared=shared, listening=True)
        except OSError as error:
            raise port_refusal(host, port, error) from error

    def take(self) -> socket.socket:
        """Return a socket for a process to serve on. Raises OSError when another program took the port meanwhile."""
        first, self._first = self._first, None
        return first if first is not None else self._open(shared=self._shared, listening=not self._shared)

    def close(self) -> None:
        """Close the first socket if it was not taken."""
        if self._first is not None:
            self._first.close()
            self._first = None

    def _open(self, *, shared: bool, listening: bool) -> socket.socket:
        family, _, _, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            if listening:
                listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
