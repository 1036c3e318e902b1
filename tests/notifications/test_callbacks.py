"""A job's callback address gets every move, signed and retried until it answers; after 410 it is not called again."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from agents.models import Agent
from devtools.simulator.client import Simulator
from jobs.life.cancel import cancel_job
from jobs.life.report import ReportKind
from jobs.models import Job
from kernel.clock import database_now
from notifications.deliveries.replay import replay_delivery
from notifications.deliveries.sending import deliver
from notifications.deliveries.signing import Rotation, rotate_secrets, secrets_of
from notifications.deliveries.sweep import ring_due_deliveries
from notifications.models import Delivery, DeliveryKind, DeliveryState, Message, ShutTarget
from tests.factories import claim, make_agent, make_expired, make_job, make_user, report

pytestmark = pytest.mark.django_db

Hook = Callable[..., str]


@pytest.fixture
def hook(sim: Simulator, settings: Any) -> Hook:
    """Make an address at the stand-in, which a setting opens to us, and return it."""
    settings.OUTBOUND_HTTP, settings.OUTBOUND_ALLOW = True, ["127.0.0.0/8"]

    def make(key: str = "jobs", **values: Any) -> str:
        sim.robot("sink", key, **values)
        return f"{sim.base}/hook/{key}"

    return make


def rows(job: Job) -> list[Delivery]:
    return list(Delivery.objects.filter(subject=f"job:{job.pk}").order_by("pk"))


def send_all() -> None:
    for pk in Delivery.objects.open().order_by("pk").values_list("pk", flat=True):
        deliver(pk)


def one_end(url: str, user: User | None = None) -> Delivery:
    """A job that has been taken and has failed; return the callback of its end, the others are sent."""
    agent = make_agent(owner=user or make_user())
    job = make_job(agent, callback=url)
    claim(agent)
    report(agent, job, ReportKind.FAIL, "no")
    taken, end = rows(job)
    Delivery.objects.filter(pk=taken.pk).delete()
    return end


def tried(delivery: Delivery, times: int = 1) -> Delivery:
    for _ in range(times):
        Delivery.objects.filter(pk=delivery.pk).update(due_at=database_now())
        deliver(delivery.pk)
    return Delivery.objects.get(pk=delivery.pk)


def test_every_move_is_told_in_the_original_shape_and_signed(hook: Hook, sim: Simulator) -> None:
    agent = make_agent()
    secret = secrets_of(agent.owner_id).secret
    job = make_job(agent, "date -u", source="ci", callback=hook(secret=secret))
    assert rows(job) == []
    claim(agent)
    report(agent, job, ReportKind.RUNNING, "40 %")
    report(agent, job, ReportKind.SUCCEED, "结果" * 2000)
    send_all()
    entries = sim.transcript("sink:jobs")
    bodies = [json.loads(entry["text"]) for entry in entries]
    assert all(
        entry["verified"] and entry["headers"]["content-type"].startswith("application/json") for entry in entries
    )
    assert [(body["status"], body["seq"], body["result"][:4]) for body in bodies] == [
        ("sent", 2, ""),
        ("running", 3, "40 %"),
        ("succeeded", 4, "结果结果"),
    ]
    end = bodies[-1]
    # S42: the original's fields and the count of moves, nothing else; no token and no other owner's id.
    assert set(end) == {
        "id", "user_id", "agent_id", "message", "source", "callback", "status", "result", "seq",
        "created_at", "sent_at", "succeeded_at",
    }  # fmt: skip
    assert (end["id"], end["user_id"], end["agent_id"]) == (job.pk, agent.owner_id, agent.pk)
    assert (end["message"], end["source"], len(end["result"])) == ("date -u", "ci", 1024)
    assert [entry["webhook_id"] for entry in entries] == [row.pk for row in rows(job)]
    assert {row.state for row in rows(job)} == {DeliveryState.SENT}


def _expire(agent: Agent, job: Job) -> None:
    make_expired(agent, job)


def _cancel(agent: Agent, job: Job) -> None:
    cancel_job(owner_id=agent.owner_id, job_id=job.pk, actor="test")


@pytest.mark.parametrize(("end", "told"), [(_expire, ["sent", "expired"]), (_cancel, ["canceled"])])
def test_ends_without_an_agents_word_are_told(end: Callable[[Agent, Job], None], told: list[str]) -> None:
    agent = make_agent()
    job = make_job(agent, callback="https://hooks.example/x")
    end(agent, job)
    assert [row.payload["status"] for row in rows(job)] == told
    assert {row.lane for row in rows(job)} == {"host:hooks.example"}


@pytest.mark.parametrize("callback", ["", "disable"])
def test_without_an_address_nothing_is_written(callback: str) -> None:
    agent = make_agent()
    job = make_job(agent, callback=callback)
    claim(agent)
    report(agent, job, ReportKind.SUCCEED)
    assert rows(job) == []


def test_what_fails_is_tried_by_the_table_under_one_id_and_then_given_up(hook: Hook, sim: Simulator) -> None:
    user = make_user()
    delivery = one_end(hook(status=500), user)
    waits = []
    while (now := tried(delivery)).state == DeliveryState.RETRY:
        waits.append((now.due_at - database_now()).total_seconds())
    hours = [2, 5, 10, 14, 20, 24]
    assert len(waits) == 9
    for wait, wished in zip(waits, [5, 300, 1800, *(hour * 3600 for hour in hours)], strict=True):
        assert wished * 0.9 - 2 < wait < wished * 1.1 + 2
    assert (now.state, now.tries, now.provider_code) == (DeliveryState.DEAD, 10, "http 500")
    assert {entry["webhook_id"] for entry in sim.transcript("sink:jobs")} == {delivery.pk}
    notice = Message.objects.get(owner=user)
    assert "127.0.0.1" in notice.text
    assert "/hook/" not in notice.text
    # A second warning within the hour is not sent; a replay starts again.
    second = tried(one_end(hook(status=500), user), 10)
    assert second.state == DeliveryState.DEAD
    assert Message.objects.filter(owner=user).count() == 1
    hook(status=200)
    assert replay_delivery(second)
    assert tried(second).state == DeliveryState.SENT


@pytest.mark.parametrize(("said", "seconds"), [("40", 40), ("999999", 86_400)])
def test_retry_after_is_obeyed_for_a_day_at_most(hook: Hook, said: str, seconds: int) -> None:
    delivery = tried(one_end(hook(status=429, headers={"Retry-After": said})))
    assert delivery.state == DeliveryState.RETRY
    assert abs((delivery.due_at - database_now()).total_seconds() - seconds) < 5


def test_410_shuts_the_address_for_its_owner_until_a_replay(hook: Hook, sim: Simulator) -> None:
    user, other = make_user(), make_user()
    first = tried(one_end(hook(status=410), user))
    assert (first.state, first.provider_code) == (DeliveryState.DEAD, "http 410")
    hook(status=200)
    second = tried(one_end(hook(), user))
    assert (second.state, second.provider_code, second.tries) == (DeliveryState.DEAD, "shut", 0)
    assert tried(one_end(hook(), other)).state == DeliveryState.SENT
    assert len(sim.transcript("sink:jobs")) == 2
    assert Message.objects.filter(owner=user).count() == 1
    assert replay_delivery(second)
    assert tried(second).state == DeliveryState.SENT
    assert not ShutTarget.objects.exists()


def test_a_redirect_is_no_answer_and_nobody_follows_it(hook: Hook, sim: Simulator) -> None:
    delivery = tried(one_end(hook(status=302, headers={"Location": f"{sim.base}/hook/elsewhere"})))
    assert (delivery.state, delivery.provider_code) == (DeliveryState.RETRY, "http 302")
    assert len(sim.calls("/hook/*")) == 1


def test_an_address_that_turned_private_is_refused_when_it_is_called(hook: Hook, settings: Any) -> None:
    delivery = one_end(hook())
    settings.OUTBOUND_ALLOW = []
    assert tried(delivery).state == DeliveryState.DEAD


def _signed(secret: str, delivery: Delivery, entry: dict[str, Any]) -> str:
    """The verification of Standard Webhooks 1.0, by hand."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    said = f"{delivery.pk}.{entry['headers']['webhook-timestamp']}.{entry['text']}".encode()
    return "v1," + base64.b64encode(hmac.digest(key, said, hashlib.sha256)).decode()


def test_after_a_rotation_both_secrets_sign_for_a_day(hook: Hook, sim: Simulator) -> None:
    user = make_user()
    old = secrets_of(user.pk).secret
    now = database_now()
    (fresh,) = rotate_secrets([Rotation(owner_id=user.pk, actor="test")], now=now)
    assert not isinstance(fresh, Exception)
    assert secrets_of(user.pk) == fresh
    delivery = tried(one_end(hook(), user))
    (entry,) = sim.transcript("sink:jobs")
    signatures = entry["headers"]["webhook-signature"].split()
    assert signatures == [_signed(secret, delivery, entry) for secret in (fresh.secret, old)]
    rotate_secrets([Rotation(owner_id=user.pk, actor="test")], now=now - dt.timedelta(hours=25))
    last = tried(one_end(hook(), user))
    entry = sim.transcript("sink:jobs")[-1]
    assert entry["headers"]["webhook-signature"] == _signed(secrets_of(user.pk).secret, last, entry)


def test_a_callback_whose_bell_was_lost_is_found() -> None:
    end = one_end("https://hooks.example/x")
    assert end.kind == DeliveryKind.CALLBACK
    assert ring_due_deliveries(now=database_now() + dt.timedelta(seconds=3)) == 1
