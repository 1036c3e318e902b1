"""The chat adapters against the simulator of the platforms, over HTTP. The simulator checks signatures, encryption and
answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import transaction
from django.test import Client

from accounts.models import ChatIdentity, User
from chat.models import InboundMessage, InboundState
from chat.services.codes import begin_login, new_bind_code
from chat.services.later import answer_put_off
from devtools.simulator.client import Simulator
from jobs.models import Job
from notifications.deliveries.sending import deliver
from notifications.models import Channel, Message
from notifications.wechat.client import official_account
from tests.factories import make_agent, make_user
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_only]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """The process."""
    with Simulator.start(seed=5) as simulator:
        yield simulator


@pytest.fixture
def _nobody_comes_late(live_server: Any) -> Iterator[None]:
    """The product still works on a line that the platform hung up on. Wait for it here, so that it cannot disturb the
    next test.

    There the same people bring messages with the same numbers.
    """
    at_work: list[object] = []

    def begun(**_signal: Any) -> None:
        at_work.append(None)

    def done(**_signal: Any) -> None:
        at_work.pop()

    request_started.connect(begun, weak=False)
    request_finished.connect(done, weak=False)
    yield
    until(lambda: not at_work, seconds=20)
    request_started.disconnect(begun)
    request_finished.disconnect(done)


@pytest.fixture
def sim(simulator: Simulator, settings: Any, live_server: Any, _nobody_comes_late: None) -> Simulator:
    """The process without a past, and a product that has its accounts."""
    simulator.reset()
    settings.LANGUAGE_CODE = "en"
    wechat = simulator.account(callback_url=f"{live_server.url}/chat/wechat", mode="safe")
    settings.WECHAT_KIND = "service"
    for name in ("appid", "secret", "token", "aes_key"):
        setattr(settings, f"WECHAT_{name.upper()}", wechat[name])
    settings.WECHAT_API_BASE = settings.WECHAT_MP_BASE = simulator.base
    wecom = simulator.account("wecom", callback_url=f"{live_server.url}/chat/wecom")
    for name in ("corp_id", "token", "aes_key"):
        setattr(settings, f"WECOM_{name.upper()}", wecom[name])
    telegram = simulator.account("telegram", webhook_url=f"{live_server.url}/chat/telegram", webhook_secret="a-secret")
    settings.TELEGRAM_BOT_TOKEN, settings.TELEGRAM_WEBHOOK_SECRET = telegram["bot_token"], "a-secret"
    slack = simulator.account("slack", command_url=f"{live_server.url}/chat/slack")
    settings.SLACK_SIGNING_SECRET = slack["signing_secret"]
    return simulator


def _owner(openid: str) -> User:
    return ChatIdentity.objects.get(external_id=openid).owner


def test_both_addresses_are_proved(sim: Simulator) -> None:
    assert sim.handshake()["ok"]
    assert sim.handshake("wecom")["ok"]


@pytest.mark.parametrize("mode", ["safe", "compat"])
def test_follow_help_token_agent_job(mode: str, sim: Simulator) -> None:
    sim.account(mode=mode)
    alice = sim.user("alice")
    assert "agent add" in str(sim.follow(alice).reply)
    assert "lsu_" in str(sim.text(alice, "token").reply)
    assert "名字]]>😀 is added" in str(sim.text(alice, "agent add 名字]]>😀").reply)
    make_agent(owner=_owner(alice), name="nas")
    sent = sim.text(alice, "nas  echo ]]> 😀")
    assert "🕘" in str(sent.reply)
    assert Job.objects.get().message == "echo ]]> 😀"
    assert sim.text(alice, "1").reply is None
    assert [delivery["status"] for delivery in sent.deliveries] == [200]


def test_in_plain_mode_nothing_runs_unless_it_is_allowed(sim: Simulator, settings: Any) -> None:
    sim.account(mode="plain")
    alice = sim.user("alice")
    sim.follow(alice)
    assert sim.text(alice, "token").reply is None
    settings.WECHAT_PLAIN_COMMANDS = True
    assert "lsu_" in str(sim.text(alice, "token").reply)


def test_a_push_that_comes_again_makes_one_job_and_gets_the_same_answer(sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    make_agent(owner=_owner(alice), name="nas")
    sim.fault("dup_push:2")
    sent = sim.text(alice, "nas date")
    assert len(sent.replies) >= 2
    assert len({str(reply).partition("#")[2] for reply in sent.replies}) == 1
    assert Job.objects.count() == 1


def test_an_answer_that_takes_longer_than_the_platform_waits_still_makes_one_job(sim: Simulator) -> None:
    sim.account(timer_s=1)
    alice = sim.user("alice")
    sim.follow(alice)
    make_agent(owner=_owner(alice), name="nas")
    with ThreadPoolExecutor() as threads:
        # While the person waits, the platform hangs up and sends the line again.
        with transaction.atomic():
            sending = threads.submit(sim.text, alice, "nas date")
            until(lambda: len(sim.pushes("wechat")) >= 3, seconds=20)
        sent = sending.result(30)
    assert len(sent.deliveries) > 1
    assert sent.deliveries[0]["reply"] is None
    assert Job.objects.count() == 1


def test_a_slow_answer_comes_later_and_somebody_is_seen_typing(sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    assert sim.text(alice, "poster").reply is None
    (row,) = InboundMessage.objects.filter(state=InboundState.LATER)
    answer_put_off(row.pk)
    assert [entry["via"] for entry in sim.transcript(alice)][-1] == "typing"
    answer = Message.objects.get(owner=_owner(alice))
    deliver(answer.deliveries.get().pk)
    assert sim.transcript(alice)[-1]["via"] == "kf"


@pytest.mark.parametrize("fault", ["bad_signature", "replay"])
def test_what_is_forged_or_old_is_refused(fault: str, sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    sim.fault(fault)
    statuses = {delivery["status"] for delivery in sim.text(alice, "token").deliveries}
    assert 403 in statuses
    assert 500 not in statuses


def test_leaving_and_coming_back(sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    sim.unfollow(alice)
    assert not Channel.objects.get(address=alice).enabled
    # By a picture: two plain follows within one second are one event, as the platform tells events apart.
    sim.follow(alice, scene="poster")
    assert Channel.objects.get(address=alice).enabled


def test_a_scanned_picture_logs_a_browser_in(sim: Simulator) -> None:
    alice = sim.user("alice")
    sim.follow(alice)
    offer = begin_login(browser="b")
    account = official_account()
    assert account is not None
    ticket, _address = account.make_qr(f"login:{offer.scene}", seconds=300)
    assert offer.number in str(sim.scan(alice, ticket).reply)
    assert "logged in" in str(sim.text(alice, "yes").reply)


def test_the_login_page_draws_the_picture(sim: Simulator) -> None:
    page = Client().get("/console/login/chat").content.decode()
    assert 'src="data:image/svg+xml' in page


def test_wecom_telegram_and_slack_speak_the_same_language(sim: Simulator) -> None:
    owner = make_user("alice")
    make_agent(owner=owner, name="nas")
    for platform in ("wecom", "telegram", "slack"):
        person = sim.user("Alice", platform=platform)
        code = new_bind_code(owner=owner)
        assert "alice" in str(sim.text(person, f"bind {code}").reply), platform
        assert "🕘" in str(sim.text(person, f"nas {platform}").reply), platform
    assert sorted(Job.objects.values_list("message", flat=True)) == ["slack", "telegram", "wecom"]
