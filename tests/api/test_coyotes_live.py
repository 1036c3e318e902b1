"""A client of coyotes against a real server, and an agent that runs what its own file allows."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api.coyotes_client import basic, curl_f, curl_urlencode
from tests.api.people import Live, Person
from tests.lanes.live import LiveServer
from tests.skadi.support import AgentProcess

# test_coyotes.py covers the database on both lanes.
pytestmark = pytest.mark.sqlite_only

ENTRIES = """
commands:
  - {prefix: /usr/bin/printf, args: ['<%s>', '.*']}
  - {prefix: date, max_args: 1}
"""


def test_an_agent_does_what_its_file_allows(
    live_on: LiveServer, live_people_of: Callable[[Live], dict[str, Person]], tmp_path: Path
) -> None:
    alice = live_people_of(Live(live_on))["alice"]
    theirs = alice.add_agent(online=False)

    def call(method: str, path: str, form: tuple[str, bytes] = ("", b"")) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", live_on.port, timeout=30)
        headers = {"Content-Type": form[0], "Authorization": basic("coyotes", alice.jobs)}
        try:
            connection.request(method, f"/coyotes/{theirs.name}{path}", body=form[1], headers=headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        assert (answer.status, body["status_code"]) == (200, 200), body
        return body["data"]

    words = ["a b", ";id", "$(id)", "", "-x", "傻瓜"]
    task = [("task", "say"), ("command", "/usr/bin/printf"), ("args", "<%s>"), *(("args", word) for word in words)]
    said = call("POST", "/channels/biz/tasks", curl_f(task))
    refused = call("POST", "/channels/default", curl_urlencode([("task", "rm -rf /")]))
    assert (said["result"], refused["result"]) == (True, True)
    agent = AgentProcess(tmp_path, live_on.base)
    agent.write(f'token: "{theirs.token}"\nserver: {live_on.base}\n{ENTRIES}')
    agent.start()
    try:
        ends = [alice("GET", f"/jobs/{pushed['task_id']}?wait=30").body["status"] for pushed in (said, refused)]
    finally:
        agent.stop()
    assert ends == ["succeeded", "failed"]
    job = alice("GET", f"/jobs/{said['task_id']}").body
    assert job["output"]["text"] == "".join(f"<{word}>" for word in words)
    assert call("GET", "/channels/biz/failed-tasks") == {}
    (failed,) = call("GET", "/channels/default/failed-tasks").values()
    assert (failed["task_id"], failed["result"]) == (refused["task_id"], "unsupported command: rm -rf /")
