"""Thousands of callbacks that are not quite right: none fails, all are refused alike, and nothing comes of any."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import ChatIdentity, User
from accounts.services.identities import ChatAddress, bind_identity
from chat.models import InboundMessage, Question
from jobs.models import Job
from notifications.models import Channel, ChatCredit
from tests.chat.forgeries import IGNORED, NO_METHOD, OPENID, REFUSED, Call, Forger
from tests.chat.pushes import APPID, WECHAT
from tests.factories import make_agent

_MAKERS = [*REFUSED.items(), *IGNORED.items(), *NO_METHOD.items()]
_UNEQUAL = {"Date", "Content-Length"}
_DEAREST_KIND_CPU_SECONDS = 0.1

Shape = tuple[int, tuple[tuple[str, str], ...], bytes]


def _send(client: Client, call: Call) -> HttpResponse:
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in call.headers.items()}
    return client.generic(call.method, "/chat/wechat", call.body, "text/xml", QUERY_STRING=call.query, **headers)  # type: ignore[return-value]  # what the client adds to a response plays no part


def _shape(response: HttpResponse) -> Shape:
    headers = sorted((name, value) for name, value in response.items() if name not in _UNEQUAL)
    return response.status_code, tuple(headers), response.content


def _rows() -> dict[str, int]:
    models: tuple[Any, ...] = (User, ChatIdentity, Channel, ChatCredit, InboundMessage, Question, Job)
    return {model.__name__: model.objects.count() for model in models}


@pytest.mark.django_db
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_forged_callback_is_refused_like_every_other_and_does_nothing(
    count: int, alice: User, settings: Any, tell: Callable[[str], None]
) -> None:
    for name, value in WECHAT.items():
        setattr(settings, name, value)
    bind_identity(ChatAddress(platform="wechat", account=APPID, external_id=OPENID), owner=alice)
    make_agent(owner=alice, name="nas")
    forger, client = Forger(random.Random(count)), Client()
    _send(client, Call(query=""))  # Imports at the first call must not count for one of the kinds.
    before = _rows()
    shapes: defaultdict[Shape, Counter[str]] = defaultdict(Counter)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(count):
        kind, make = _MAKERS[number % len(_MAKERS)]
        call = make(forger)
        began = time.thread_time()
        response = _send(client, call)
        seconds[kind].append(time.thread_time() - began)
        shapes[_shape(response)][kind] += 1
    assert _rows() == before

    by_status = {shape[0]: kinds for shape, kinds in shapes.items()}
    assert sorted(shape[0] for shape in shapes) == [200, 403, 405], {
        shape: dict(kinds) for shape, kinds in shapes.items()
    }
    assert by_status[403].keys() == REFUSED.keys()
    assert by_status[200].keys() == IGNORED.keys()
    assert by_status[405].keys() == NO_METHOD.keys()
    assert sum(kinds.total() for kinds in shapes.values()) == count
    assert min(by_status[403].values()) >= count // len(_MAKERS)
    # A slow kind is slow each time. A single slow call may include a garbage collection of the test itself.
    dearest, kind = max((statistics.median(spent), kind) for kind, spent in seconds.items())
    assert dearest < _DEAREST_KIND_CPU_SECONDS
    tell(
        f"{count} forged callbacks: {by_status[403].total()} of {len(REFUSED)} kinds refused in one shape, "
        f"{by_status[200].total()} ignored, {by_status[405].total()} with another method, no 5xx, no row; "
        f"the dearest kind took {dearest * 1000:.1f} ms of the processor ({kind})"
    )

    # The same call unhurt runs a job, once however often it comes.
    whole = forger.call()
    first, again = _send(client, whole), _send(client, whole)
    assert (first.status_code, again.status_code, Job.objects.count()) == (200, 200, 1)
