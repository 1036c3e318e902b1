"""The services that only receive, called by apprise, and the sink that checks signatures."""

from __future__ import annotations

import base64
import sys
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import apprise
import pytest
import requests
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.pushplus import NotifyPushplus
from apprise.plugins.serverchan import NotifyServerChan
from apprise.plugins.wxpusher import NotifyWxPusher
from standardwebhooks.webhooks import Webhook

from devtools.simulator.client import Simulator
from tests.simulators.caller import Caller

pytestmark = [
    pytest.mark.sqlite_only,
    # apprise loads all of its plugins, one of which needs a module that Python 3.13 has removed.
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]

KEY = "demodemodemodemodemodemodemodemo"


@pytest.fixture
def towards(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point apprise, whose hosts are fixed, at the simulator; returns host and port."""
    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{sim.base}/discord/api/webhooks")
    monkeypatch.setattr(NotifyPushplus, "notify_url", f"{sim.base}/pushplus/send")
    monkeypatch.setattr(NotifyServerChan, "notify_url", sim.base + "/serverchan/{token}.send")
    monkeypatch.setattr(NotifyWxPusher, "notify_url", f"{sim.base}/wxpusher/api/send/message")
    for service in ("discord", "pushplus", "bark", "gotify", "wxpusher"):
        sim.robot(service, KEY)
    sim.robot("serverchan", "SCTdemodemo")
    return urlsplit(sim.base).netloc


ADDRESSES = {
    "discord": f"discord://{KEY}/{KEY}/",
    "pushplus": f"pushplus://{KEY}",
    "serverchan": "schan://SCTdemodemo",
    "wxpusher": f"wxpusher://AT_{KEY}/UID_bob",
    "bark": "bark://{host}/bark/" + KEY,
    "ntfy": "ntfy://{host}/demo",
    "gotify": "gotify://{host}/gotify/" + KEY,
}
ROOMS = {"serverchan": "SCTdemodemo", "ntfy": "demo"}


@pytest.fixture(autouse=True)
def _apprise_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore `requests` in apprise's plugins, which other tests in this process may have replaced."""
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.plugins.") and hasattr(module, "requests"):
            monkeypatch.setattr(module, "requests", requests)


def _notify(service: str, host: str, text: str) -> bool:
    asset = apprise.AppriseAsset(async_mode=False, secure_logging=True)
    sender = apprise.Apprise(asset=asset)
    assert sender.add(ADDRESSES[service].format(host=host))
    for plugin in sender:
        plugin.request_rate_per_sec = 0
    return bool(sender.notify(title="标题", body=text))


@pytest.mark.parametrize("service", ["discord", "pushplus", "serverchan", "wxpusher", "gotify"])
def test_apprise_delivers(sim: Simulator, towards: str, service: str) -> None:
    assert _notify(service, towards, "内容")
    assert "内容" in sim.transcript(f"{service}:{ROOMS.get(service, KEY)}")[-1]["text"]


@pytest.mark.parametrize("service", ["discord", "pushplus", "serverchan", "wxpusher", "gotify"])
def test_apprise_is_refused_for_a_removed_key(sim: Simulator, towards: str, service: str) -> None:
    sim.robot(service, ROOMS.get(service, KEY), gone=True)
    assert not _notify(service, towards, "内容")


REFUSED = [
    # service, path, body, HTTP status, field of the code, code
    ("discord", "/discord/api/webhooks/demo/secret", {"content": ""}, 400, "code", 50006),
    ("discord", "/discord/api/webhooks/demo/secret", {"content": "x" * 2001}, 400, "code", 50035),
    ("discord", "/discord/api/webhooks/none/secret", {"content": "x"}, 404, "code", 10015),
    ("bark", "/bark/push", {"device_key": "none", "body": "x"}, 400, "code", 400),
    ("bark", "/bark/push", {"device_key": "demo", "body": "x" * 4096}, 400, "code", 400),
    ("pushplus", "/pushplus/send", {"token": "none", "content": "x"}, 200, "code", 903),
    ("pushplus", "/pushplus/send", {"token": "demo"}, 200, "code", 999),
    ("serverchan", "/serverchan/none.send", {"title": "x"}, 400, "code", 40001),
    ("serverchan", "/serverchan/demo.send", {"desp": "x"}, 200, "code", 40003),
    ("wxpusher", "/wxpusher/api/send/message", {"appToken": "AT_none", "content": "x"}, 200, "code", 1002),
    ("wxpusher", "/wxpusher/api/send/message", {"appToken": "AT_demo", "content": "x"}, 200, "code", 1001),
    ("ntfy", "/ntfy", {"topic": "closed", "message": "x"}, 403, "code", 40301),
    ("ntfy", "/ntfy/", {"topic": "demo", "message": "字" * 1366}, 413, "code", 41301),
    ("gotify", "/gotify/message?token=none", {"message": "x"}, 401, "errorCode", 401),
    ("gotify", "/gotify/message?token=demo", {"title": "x"}, 400, "errorCode", 400),
]


@pytest.mark.parametrize(("service", "path", "body", "status", "name", "code"), REFUSED)
def test_service_refuses_in_its_own_shape(
    sim: Simulator, service: str, path: str, body: dict[str, str], status: int, name: str, code: int
) -> None:
    answer = Caller(sim).raw("POST", path, json=body)
    assert (answer.status_code, answer.json()[name]) == (status, code)
    assert sim.transcript(f"{service}:demo") == []


TAKEN = [
    ("discord", "/discord/api/webhooks/demo/secret", {"content": "x"}, 204, None),
    ("bark", "/bark/push", {"device_key": "demo", "body": "x"}, 200, 200),
    ("pushplus", "/pushplus/send", {"token": "demo", "content": "x"}, 200, 200),
    ("serverchan", "/serverchan/demo.send", {"title": "x"}, 200, 0),
    ("wxpusher", "/wxpusher/api/send/message", {"appToken": "AT_demo", "content": "x", "uids": ["u"]}, 200, 1000),
    ("ntfy", "/ntfy", {"topic": "demo", "message": "x"}, 200, None),
    ("gotify", "/gotify/message?token=demo", {"message": "x"}, 200, None),
]


@pytest.mark.parametrize(("service", "path", "body", "status", "code"), TAKEN)
def test_service_takes_a_message(
    sim: Simulator, service: str, path: str, body: dict[str, object], status: int, code: int | None
) -> None:
    answer = Caller(sim).raw("POST", path, json=body)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
    assert sim.transcript(f"{service}:demo")[-1]["text"] == "x"


def test_discord_is_too_fast_after_five(sim: Simulator) -> None:
    sim.stop_clock()
    answers = [Caller(sim).raw("POST", TAKEN[0][1], json={"content": "x"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [204] * 5 + [429]
    assert answers[-1].json()["retry_after"] > 0


def test_teams_workflow_wants_its_signature_and_a_card(sim: Simulator) -> None:
    path, card = "/teams/workflows/demo/triggers/manual/paths/invoke", {"attachments": [{"content": {"body": "hi"}}]}

    def post(path: str, body: object) -> requests.Response:
        return Caller(sim).raw("POST", path, json=body)

    assert post(path, card).json()["error"]["code"] == "DirectApiAuthorizationRequired"
    assert post(path + "?sig=s", {}).json()["error"]["code"] == "InvalidRequestContent"
    assert post(path.replace("demo", "none") + "?sig=s", card).status_code == 404
    assert post(path + "?sig=s", {"type": "message", "text": "x" * 28_700}).status_code == 413
    assert (post(path + "?sig=s", card).status_code, sim.transcript("teams:demo")[-1]["text"]) == (202, "hi")


# The sink.


def _signed(secret: str, body: str, *, seconds_old: int = 0, message_id: str = "msg_1") -> dict[str, str]:
    at = datetime.fromtimestamp(int(time.time()) - seconds_old, UTC)
    signature = Webhook(secret).sign(message_id, at, body)
    stamp = str(int(at.timestamp()))
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA {signature}"}


def test_sink_verifies_signatures_and_counts_repeats(sim: Simulator) -> None:
    secret = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()
    sim.robot("sink", "jobs/done", secret=secret)
    call, body = Caller(sim), '{"job": "字"}'

    def status(headers: dict[str, str]) -> int:
        return call.raw("POST", "/hook/jobs/done", data=body.encode(), headers=headers).status_code

    assert status({}) == 401
    assert status(_signed(secret, body)) == 200
    assert status(_signed(secret, body)) == 200
    assert status(_signed(secret, body + " ")) == 401
    assert status(_signed(secret, body, seconds_old=400)) == 401
    entries = sim.transcript("sink:jobs/done")
    assert [entry["verified"] for entry in entries] == [False, True, True, False, False]
    assert [entry["repeat"] for entry in entries] == [0, 0, 1, 2, 3]


def test_sink_answers_by_its_script(sim: Simulator) -> None:
    sim.robot("sink", "x", script=[500, 0], status=204, headers={"X-A": "1"}, body="")
    call = Caller(sim)
    assert call.raw("GET", "/hook/x").status_code == 500
    with pytest.raises(requests.ConnectionError):
        call.raw("GET", "/hook/x")
    answer = call.raw("PUT", "/hook/x", data=b"put")
    assert (answer.status_code, answer.headers["X-A"]) == (204, "1")
    assert [entry["method"] for entry in sim.transcript("sink:x")] == ["GET", "GET", "PUT"]
