"""One connection to the server for each thread, opened again when a reload changes the server or the token."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Callable

from skadi.client import Client
from skadi.config import ConfigError, CurrentConfig
from skadi.log import LineFormatter


class Connections:
    """The connections by the name of their thread. Any thread may call the methods."""

    def __init__(self, current: CurrentConfig, formatter: LineFormatter) -> None:
        """`formatter` learns every token that is sent, so that no log line shows one."""
        self.current = current
        self.formatter = formatter
        self._clients: dict[str, Client] = {}
        self._lock = threading.Lock()

    def getter(self, thread: str) -> Callable[[], Client]:
        """Return a function that returns the client of a thread. Call it before each request, see `_client`."""
        return partial(self._client, thread)

    def _client(self, thread: str) -> Client:
        """Return the client of a thread: a new one if the server or the token has changed since the last call."""
        config = self.current.config
        with self._lock:
            client = self._clients.get(thread)
            if client is not None and client.server == config.server and client.token == config.token:
                return client
            if config.server is None:
                raise ConfigError("no server")  # cannot happen: a reload refuses such a file
            if client is not None:
                client.close()
            self.formatter.secrets.add(config.token)
            client = self._clients[thread] = Client(config.server, config.token)
            return client

    def interrupt(self, thread: str, stop: bool = False) -> None:
        """Cut the request that a thread waits for, if there is one; with `stop`, refuse its later requests as well."""
        with self._lock:
            client = self._clients.get(thread)
        if client is not None:
            client.interrupt(stop)

    def enforce_deadlines(self) -> None:
        """Cut every request that is past its deadline."""
        with self._lock:
            clients = list(self._clients.values())
        for client in clients:
            client.enforce_deadline(time.monotonic())
