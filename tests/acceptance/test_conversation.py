"""The conversation of docs/conversation.md: follow, help, token, curl, a message, an agent, its result in the chat."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devtools.simulator.client import Entry, Simulator
from tests.lanes.services import ROOT
from tests.up.instance import Instance

_AGENT_FILE = """\
server: {server}
token: {token}
shortcuts:
  - short: date
    cmd: "date --rfc-3339=second"
"""


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """The platforms."""
    with Simulator.start(seed=41) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def product(sim: Simulator, data_folder: Callable[[], Path]) -> Iterator[Instance]:
    """An instance of `make up` with the simulator's account."""
    instance = Instance(data_folder(), LETSERVER_LANGUAGE="zh-hans", **sim.settings())
    try:
        yield instance.wait_until_ready()
    finally:
        instance.end()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are stopped after the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.terminate()
        process.wait(20)


def _curl(*words: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "-o", "-", "-w", "%{http_code}", *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def _shown(sim: Simulator, openid: str, via: str, words: str) -> Entry:
    """Wait for an entry of this kind with this text."""
    return sim.wait_for(openid, lambda entry: entry["via"] == via and words in str(entry), seconds=40)


def test_from_follow_to_the_result_in_the_chat(
    product: Instance, sim: Simulator, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    server = f"http://127.0.0.1:{product.port}"
    sim.account(callback_url=f"{server}/chat/wechat")
    assert sim.handshake()["ok"]
    openid = sim.user("小明")

    # 1. Follow, and ask for help.
    assert "token" in (sim.follow(openid).reply or "")
    assert "agent add" in (sim.text(openid, "帮助").reply or "")

    # 2. The token, and a message with it.
    found = re.search(r"lsu_[0-9A-Za-z]{36}", sim.text(openid, "token").reply or "")
    assert found
    token = found.group(0)
    body = '{"message": "构建完成"}'
    assert _curl(f"{server}/message/info", "-H", f"Authorization: Bearer {token}", "-d", body) == "201"
    _shown(sim, openid, "template", "构建完成")
    assert _curl("-G", f"{server}/message/text", "-d", f"token={token}", "--data-urlencode", "msg=一行就够") == "201"
    _shown(sim, openid, "kf", "一行就够")

    # 3. An agent, with the file that its owner writes.
    reply = sim.text(openid, "agent add 小新").reply or ""
    agent_token = re.search(r"(?m)^token: ([0-9A-Za-z]{20})$", reply)
    assert agent_token, reply
    config = tmp_path / "skadi.yml"
    config.write_text(_AGENT_FILE.format(server=server, token=agent_token.group(1)), encoding="utf-8")
    config.chmod(0o600)
    with (tmp_path / "agent.log").open("wb") as log:
        agent = subprocess.Popen(
            [sys.executable, "-m", "skadi", "--config", str(config)],
            cwd=ROOT,
            env={**os.environ, "SKADI_STATE_DIR": str(tmp_path / "state")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    started.append(agent)
    _shown(sim, openid, "kf", "小新")

    # 4. Send it a command, and receive the result.
    assert "🕘" in (sim.text(openid, "小新 date").reply or "")
    result = _shown(sim, openid, "kf", "🟩 任务")
    assert re.search(r"20\d\d", result["text"])
    # A command that its file does not allow does not run.
    sim.text(openid, "小新 rm -rf /")
    _shown(sim, openid, "kf", "🟥 任务")
