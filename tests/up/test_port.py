"""The sockets of several web processes: one that is not ready yet is given no caller."""

from __future__ import annotations

import socket

from letserver.up.port import WebPort
from tests.lanes.live import free_port


def test_a_process_that_still_starts_gets_no_callers() -> None:
    number = free_port()
    port = WebPort(host="127.0.0.1", port=number, shared=True)
    with port.take() as ready, port.take() as starting:
        ready.settimeout(2)
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", number), timeout=2):
                ready.accept()[0].close()
        starting.listen()
        ready.close()
        starting.settimeout(2)
        with socket.create_connection(("127.0.0.1", number), timeout=2):
            starting.accept()[0].close()
