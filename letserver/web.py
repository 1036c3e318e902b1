"""The web process: uvicorn, which ends without waiting for parked polls.

Run by `make up` with a listening socket (`--fd`), by the production units with an address (LETSERVER_HOST and
LETSERVER_PORT).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
from types import FrameType

import uvicorn

from letserver.private import make_files_private
from letserver.protocol import BoundedProtocol

# Long enough for a request in the database, short enough for Ctrl-C.
_GRACEFUL_SECONDS = 2
# Above the 60 s of common proxies, so that the proxy closes an idle connection first, never we during a request.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 8192


class Server(uvicorn.Server):
    """uvicorn's server that answers parked polls at once when told to end.

    uvicorn waits for requests in flight and sends the lifespan event only afterwards: a poll parked for 25 s would
    cost the whole graceful time and end in a traceback.
    """

    _event_loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to end; remembers the loop for `handle_exit`."""
        self._event_loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal: release the waiters on the loop (we may be in the middle of any callback), then stop."""
        if self.started and self._event_loop is not None and not self._event_loop.is_closed():
            # Imported late: uvicorn has loaded the application by then.
            from letserver.asgi import release_waiters

            self._event_loop.call_soon_threadsafe(release_waiters)
        super().handle_exit(sig, frame)


def make_server(*, host: str, port: int) -> Server:
    """Return the configured server. Forwarded headers are the application's business (LETSERVER_TRUSTED_PROXIES)."""
    configuration = uvicorn.Config(
        "letserver.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
    )
    return Server(configuration)


def raise_file_limit() -> None:
    """Let the process open as many files as it may: each connection is one, and shells allow 1,024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Serve on the socket handed over, else on the configured address."""
    parser = argparse.ArgumentParser(prog="python -m letserver.web", description=__doc__)
    parser.add_argument("--fd", type=int, help="number of an inherited descriptor that listens")
    arguments = parser.parse_args()
    make_files_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")
    import django
    from django.conf import settings

    from letserver.checks import claim_data_folder, refuse_broken_promises

    django.setup()
    claim_data_folder()
    refuse_broken_promises()
    from jobs.clocks.watch import start_clock_watch

    start_clock_watch("web", redis_url=settings.REDIS_URL)
    raise_file_limit()
    server = make_server(host=settings.HOST, port=settings.PORT)
    if arguments.fd is None:
        server.run()
    else:
        server.run(sockets=[socket.socket(fileno=arguments.fd)])
    if not server.started:
        raise SystemExit(3)


if __name__ == "__main__":
    main()
