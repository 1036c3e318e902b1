"""`manage.py runserver` starts Django's own development server, without the gateway."""

from __future__ import annotations

import http.client
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from tests.lanes.live import free_port
from tests.lanes.services import ROOT
from tests.up.instance import clean_environment
from tests.waiting import until


def test_runserver_serves_the_api_and_the_login_page(tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment(LETSERVER_DATA=str(tmp_path), LETSERVER_SECRET_KEY="k" * 50)
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: server.poll() is not None or _status(port, "/status"), seconds=60)
        assert server.poll() is None, (tmp_path / "log").read_text()
        assert _status(port, "/status") == 204
        assert _status(port, "/console/login") == 200
    finally:
        server.terminate()
        server.wait(10)


def _status(port: int, path: str) -> int:
    """Return the status of a GET; 0 while nothing listens."""
    with suppress(ConnectionError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
    return 0
