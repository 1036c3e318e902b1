"""Faults change only the matching calls, as often as ordered; the control API checks its token and input."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from devtools.simulator import errors
from devtools.simulator.client import ControlError, Simulator
from devtools.simulator.platforms import Simulation
from devtools.simulator.world import Stream
from tests.simulators.caller import Caller

pytestmark = pytest.mark.sqlite_only

SEND = "/cgi-bin/message/custom/send"


@pytest.fixture
def call(sim: Simulator) -> Caller:
    """A program of this account."""
    return Caller(sim)


@pytest.fixture
def alice(sim: Simulator) -> str:
    """A person who follows the account and has written."""
    alice = sim.user("alice")
    sim.follow(alice)
    sim.text(alice, "hi")
    return alice


def _kf(sim: Simulator, openid: str) -> int:
    return [entry["via"] for entry in sim.transcript(openid)].count("kf")


def test_code_is_answered_from_the_nth_call_as_often_as_ordered(sim: Simulator, call: Caller, alice: str) -> None:
    sim.fault("errcode:-1", SEND, nth=2, times=2)
    assert [call.say(alice, "x") for _ in range(4)] == [0, -1, -1, 0]
    assert _kf(sim, alice) == 2
    assert sim.faults()[0]["used"] == 2


def test_fault_may_be_for_one_person(sim: Simulator, call: Caller, alice: str) -> None:
    bob = sim.user("bob")
    sim.follow(bob)
    sim.fault("errcode:45015", openid=bob, times=None)
    assert [call.say(alice, "x"), call.say(bob, "x"), call.say(bob, "x")] == [0, 45015, 45015]
    sim.heal()
    assert call.say(bob, "x") == 0


def test_expired_token_is_replaced_by_the_next(sim: Simulator, call: Caller, alice: str) -> None:
    sim.fault("expire_token", SEND)
    assert call.say(alice, "x") == 42001
    assert Caller(sim).say(alice, "x") == 0


def test_invalid_token_stays_invalid_until_healed(sim: Simulator, call: Caller, alice: str) -> None:
    sim.fault("invalidate_token", times=None)
    assert call.say(alice, "x") == 40001
    assert Caller(sim).say(alice, "x") == 40001
    sim.heal()
    assert call.say(alice, "x") == 0


def test_used_up_quota_comes_back_at_midnight(sim: Simulator, call: Caller, alice: str) -> None:
    sim.fault("quota:45009", "/cgi-bin/message/*", times=None)
    assert [call.say(alice, "x") for _ in range(2)] == [45009] * 2
    sim.clock(24 * 3600)
    fresh = Caller(sim)
    assert fresh.say(alice, "x") == 0


def test_dropped_call_is_not_taken_and_a_dropped_answer_is(sim: Simulator, call: Caller, alice: str) -> None:
    for action, taken in (("drop_connection", 0), ("drop_answer", 1)):
        sim.fault(action, SEND)
        call.stable()
        with pytest.raises(requests.ConnectionError):
            call.say(alice, "x")
        assert _kf(sim, alice) == taken
    assert sim.calls(SEND)[-1]["note"] == "connection dropped"


def test_late_answer_belongs_to_a_call_that_was_taken(sim: Simulator, call: Caller, alice: str) -> None:
    sim.fault("delay_ms:300", SEND)
    assert call.say(alice, "x") == 0
    assert sim.calls(SEND)[-1]["ms"] >= 300
    assert _kf(sim, alice) == 1


def test_an_answer_can_be_invalid_json(sim: Simulator, call: Caller, alice: str) -> None:
    call.stable()
    sim.fault("http:502", SEND)
    with pytest.raises(requests.JSONDecodeError):
        call.say(alice, "x")
    sim.fault("html", SEND)
    with pytest.raises(requests.JSONDecodeError):
        call.say(alice, "x")
    sim.fault("truncate_json", SEND)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        call.say(alice, "x")
    assert [(hop["status"], _kf(sim, alice)) for hop in sim.calls(SEND)] == [(502, 1), (200, 1), (200, 1)]


@pytest.mark.parametrize("action", ["explode", "errcode", "http:soon", "html:5", "dup_push:"])
def test_unknown_fault_is_refused(sim: Simulator, action: str) -> None:
    with pytest.raises(ControlError, match="400"):
        sim.fault(action)


@pytest.mark.parametrize("platform", [name for name in errors.ALL if name != "slack-methods"])
def test_every_code_of_the_table_can_be_asked_for(platform: str) -> None:
    """Each is answered with its own status and text, and has its source page."""
    simulation = Simulation(seed=1, base="http://127.0.0.1", stream=Stream())
    for code, row in errors.ALL[platform].items():
        assert "·" in row.page
        assert row.meaning
        answer = simulation.platforms[platform].refuse(code)
        assert answer.status == row.status, code
        assert isinstance(answer.body, bytes)
        assert row.message.partition("{")[0] in answer.body.decode()
        assert b"{" not in answer.body.replace(b'{"', b"").replace(b"{}", b""), "a placeholder was left"


def test_sixteen_at_once_are_all_served(sim: Simulator, call: Caller, alice: str) -> None:
    call.stable()
    call.say(alice, "first")
    start = threading.Barrier(16)

    def send(number: int) -> int:
        start.wait(5)
        return call.say(alice, str(number))

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(send, range(16)))
    assert codes == [0] * 16
    assert len({entry["text"] for entry in sim.transcript(alice) if entry["via"] == "kf"}) == 17


def test_a_fault_that_the_platform_lacks_is_not_answered_like_the_platform(sim: Simulator, call: Caller) -> None:
    for action in ("errcode:12345", "expire_token"):
        sim.fault(action, "/robot/send")
        answer = call.raw("POST", "/robot/send", params={"access_token": "demo"}, json={})
        assert (answer.status_code, "makes no sense at dingtalk" in answer.text) == (500, True)


# The control API.


def test_control_calls_need_the_token(sim: Simulator) -> None:
    for path in ("state", "users/x/transcript", "nothing"):
        assert requests.get(f"{sim.base}/_sim/{path}", timeout=5).status_code == 401
    assert requests.get(f"{sim.base}/_sim/health", timeout=5).json() == {"ok": True}


def test_control_names_the_error(sim: Simulator) -> None:
    for wrong in (
        lambda: sim.text("nobody", "x"),
        lambda: sim.account("mars"),
        lambda: sim.account(mode="loud"),
        lambda: sim.account(colour="red"),
        lambda: sim.text(sim.user("bob"), "x"),
        lambda: sim.user("eve", platform="feishu"),
        lambda: sim.clock(-1),
        lambda: sim.act(sim.user("mallory"), "fly"),
    ):
        with pytest.raises(ControlError, match=r"40[04]"):
            wrong()


def test_same_seed_gives_the_same_ids_and_reset_forgets(sim: Simulator) -> None:
    first = sim.user("alice")
    sim.account(appid="wx-mine")
    sim.clock(100)
    sim.reset(keep_accounts=True)
    assert sim.state()["ahead_seconds"] == 0
    assert sim.user("alice") == first
    assert sim.settings("LETSERVER_WECHAT_APPID") == {"LETSERVER_WECHAT_APPID": "wx-mine"}
    sim.reset()
    assert sim.settings("LETSERVER_WECHAT_APPID") != {"LETSERVER_WECHAT_APPID": "wx-mine"}


def test_stream_sends_the_events(sim: Simulator, alice: str) -> None:
    headers = {"Authorization": sim.control_header}
    with requests.get(f"{sim.base}/_sim/stream", headers=headers, stream=True, timeout=5) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        assert next(lines) == ": here"
        sim.text(alice, "你好")
        for line in lines:
            if line.startswith("data:") and "你好" in line:
                entry = json.loads(line.removeprefix("data: "))
                break
    assert (entry["chat"], entry["text"], entry["who"]) == (alice, "你好", "user")


def test_it_imports_nothing_of_the_product() -> None:
    layers = {"kernel", "accounts", "notifications", "agents", "jobs", "chat", "letserver", "skadi", "django"}
    program = "import sys, devtools.simulator.platforms; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not layers & set(done.stdout.split())
