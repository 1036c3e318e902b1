"""The courier is killed repeatedly: every accepted message arrives, few of them twice, and no limit is exceeded."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from devtools.simulator.client import Simulator
from tests.faults.journal import Journal
from tests.faults.message_invariants import check_messages
from tests.up.instance import Instance
from tests.waiting import until

_USERS, _MESSAGES, _KILLS = 20, 50, 20
_TEMPLATES_A_DAY = 30
_KINDS = ("hook", "hook", "template", "text")
_PATHS = {"template": "/message/info", "text": "/message/text"}
_NAME = re.compile(r"p\d\d m\d\d")
# A platform delays its answer this long after it accepted a message, so that kills hit this interval.
_ANSWER_MS = 60
_RESTART_SECONDS = 90.0
_DRAIN_SECONDS = 400.0


@dataclass(kw_only=True)
class Person:
    """One user, the kind of their channel, and the answers to their messages."""

    name: str
    kind: str
    openid: str
    token: str
    journal: Journal
    session: requests.Session = field(default_factory=requests.Session)
    accepted: set[str] = field(default_factory=set)
    refused: int = 0

    @property
    def target(self) -> str:
        """The conversation in which the messages arrive."""
        return self.name if self.kind == "hook" else self.openid

    def send(self, base: str, text: str) -> int:
        """Send until the product answers; return the status."""
        path = _PATHS.get(self.kind, "/messages")
        body: dict[str, object] = {"text": text, "channels": ["hook"]} if self.kind == "hook" else {"message": text}
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": text}
        while True:
            try:
                answer = self.session.post(f"{base}{path}", json=body, headers=headers, timeout=30)
            except requests.RequestException:
                self.journal.note("message", user=self.name, text=text, status=None, id=None)
                continue
            location = answer.headers.get("Location", "")
            message_id = location.removeprefix("/messages/") or None
            self.journal.note("message", user=self.name, text=text, status=answer.status_code, id=message_id)
            return answer.status_code


class Crowd:
    """All users, each in a thread. `allow` releases a share of their messages, so some are pending at each kill."""

    def __init__(self, people: list[Person], base: str, sim: Simulator) -> None:
        self.people = people
        self._base = base
        self._sim = sim
        self._allowed = 0.0
        self._moved = threading.Condition()

    def allow(self, share: float) -> None:
        """Let them send up to this share of their messages, from 0 to 1."""
        with self._moved:
            self._allowed = share
            self._moved.notify_all()

    def run(self, person: Person) -> None:
        """Send one user's messages."""
        for number in range(_MESSAGES):
            with self._moved:
                self._moved.wait_for(lambda number=number: number < self._allowed * _MESSAGES)
            text = f"{person.name} m{number:02d}"
            status = person.send(self._base, text)
            while status == 429 and person.kind == "text":
                # A message from a person opens a new window.
                self._sim.text(person.openid, "1")
                time.sleep(3)
                status = person.send(self._base, text)
            assert status in (201, 429), (text, status)
            if status == 201:
                person.accepted.add(text)
            else:
                person.refused += 1


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """The platforms, a little slow to answer."""
    with Simulator.start(seed=20) as simulator:
        simulator.fault(f"delay_ms:{_ANSWER_MS}", "/cgi-bin/message/*", times=None)
        yield simulator


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Callable[[str], Journal]]:
    """Open a journal by its name; all are closed after the test."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(Journal(folder / f"{name}.jsonl")))


def _start(data: Path, sim: Simulator, threads: int) -> Instance:
    return Instance(
        data,
        LETSERVER_COURIER_THREADS=str(threads),
        LETSERVER_USER_CALLS_A_MINUTE="0",
        LETSERVER_MERGE_SECONDS="0",
        LETSERVER_TEMPLATES_A_DAY=str(_TEMPLATES_A_DAY),
        LETSERVER_OUTBOUND_HTTP="on",
        LETSERVER_OUTBOUND_ALLOW="127.0.0.0/8",
        LETSERVER_LANGUAGE="en",
        **sim.settings(),
    )


def _arrive(number: int, base: str, sim: Simulator, journal: Journal) -> Person:
    """Follow, ask for a token, and create the person's channel."""
    openid = sim.user(f"person {number}")
    sim.follow(openid)
    reply = sim.text(openid, "token").reply or ""
    found = re.search(r"lsu_[0-9A-Za-z]{36}", reply)
    assert found, reply
    name = f"p{number:02d}"
    person = Person(name=name, kind=_KINDS[number % 4], openid=openid, token=found.group(0), journal=journal)
    person.session.trust_env = False
    if person.kind == "hook":
        sim.robot("sink", name, delay_ms=_ANSWER_MS)
        body = {"name": "hook", "driver": "webhook", "settings": {"url": f"{sim.base}/hook/{name}"}}
        headers = {"Authorization": f"Bearer {person.token}"}
        made = person.session.post(f"{base}/channels", json=body, headers=headers, timeout=30)
        assert made.status_code == 201, made.text
    return person


def _is_sending(call: dict[str, Any]) -> bool:
    return bool(re.fullmatch(r"/hook/.*|/cgi-bin/message/(custom|template)/send", call["path"]))


def _kill_again_and_again(
    product: Instance, sim: Simulator, crowd: Crowd, journal: Journal, chance: random.Random
) -> None:
    for number in range(_KILLS):
        crowd.allow((number + 1) / _KILLS)
        # The last call of the killed courier may be logged only now.
        (pid,) = until(lambda: product.find("--queues deliveries"), seconds=_RESTART_SECONDS)
        before = max((call["seq"] for call in sim.calls()), default=0)
        until(lambda before=before: any(map(_is_sending, sim.calls(after=before))), seconds=_RESTART_SECONDS)
        time.sleep(chance.uniform(0.05, 2.0))
        journal.note("kill", pid=pid)
        product.kill(pid)
        until(lambda pid=pid: pid not in product.find("--queues deliveries"), seconds=20)


def _open_rows(database: Path) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(
            "SELECT state, count(*) FROM notifications_delivery WHERE state IN ('pending', 'in_flight', 'retry')"
            " GROUP BY state"
        ).fetchall()


def _hear_the_platforms(sim: Simulator, people: list[Person], journal: Journal, owners: dict[str, str]) -> Counter[str]:
    """Log the messages that the platforms accepted and their counts; return how often each text was accepted."""
    taken: Counter[str] = Counter()
    cards: set[object] = set()
    for call in filter(_is_sending, sim.calls()):
        found = _NAME.search(call["body"])
        assert found, call
        text = found.group(0)
        target = call["path"].removeprefix("/hook/")
        code = 0
        if target == call["path"]:
            target, answer = call["chat"], json.loads(call["answer"])
            code = answer["errcode"]
            if code == 0 and "msgid" in answer:
                if answer["msgid"] in cards:
                    continue  # the platform recognised its id, and showed it once
                cards.add(answer["msgid"])
        if code == 0:
            taken[text] += 1
        assert code in (0, 45047), call
        journal.note("over" if code else "taken", target=target, text=text)
    shown = 0
    for person in people:
        entries = sim.transcript(f"sink:{person.name}" if person.kind == "hook" else person.openid)
        sent = [entry for entry in entries if entry["via"] in ("webhook", "kf", "template")]
        shown += len(sent)
        if person.kind == "template":
            journal.note("counted", ledger="wechat.template", owner=owners[person.openid], number=len(sent))
        elif person.kind == "text":
            spoke = max(entry["seq"] for entry in entries if entry["who"] == "user" and entry["via"] == "text")
            number = sum(entry["seq"] > spoke for entry in sent)
            journal.note("counted", ledger="credit", owner=owners[person.openid], number=number)
    assert shown == taken.total()
    return taken


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("threads", [1, 16])
def test_kills_of_the_courier_lose_nothing_and_repeat_one_message_a_lane(
    threads: int, tmp_path: Path, sim: Simulator, journal: Callable[[str], Journal], tell: Callable[[str], None]
) -> None:
    began = time.monotonic()
    product = _start(tmp_path / "data", sim, threads)
    try:
        product.wait_until_ready()
        base = f"http://127.0.0.1:{product.port}"
        sim.account(callback_url=f"{base}/chat/wechat")
        messages = journal("messages-all")
        people = [_arrive(number, base, sim, messages) for number in range(_USERS)]
        crowd = Crowd(people, base, sim)
        with ThreadPoolExecutor(_USERS) as pool:
            running = [pool.submit(crowd.run, person) for person in people]
            try:
                _kill_again_and_again(product, sim, crowd, journal("kills"), random.Random(threads))
            finally:
                crowd.allow(1.0)
            for one in running:
                one.result()
        database = product.data / "letserver.sqlite3"
        until(lambda: not _open_rows(database), seconds=_DRAIN_SECONDS)
    finally:
        product.end()

    with closing(sqlite3.connect(database)) as connection:
        owners = dict(connection.execute("SELECT external_id, owner_id FROM accounts_chatidentity"))
        taken = _hear_the_platforms(sim, people, journal("platforms"), owners)
        violations = check_messages(tmp_path / "evidence", connection, threads=threads)
    accepted = set().union(*(person.accepted for person in people))
    repeats = taken.total() - len(taken)
    limited = [person for person in people if person.kind == "template"]
    tell(
        f"courier of {threads} thread(s), killed {_KILLS} times: {len(accepted)} of {_USERS * _MESSAGES} messages "
        f"accepted, {sum(person.refused for person in limited)} refused with 429, "
        f"{len(accepted & taken.keys())} arrived, {repeats} repeated, {len(violations)} violations, "
        f"{time.monotonic() - began:.0f} s"
    )
    assert list(map(str, violations)) == []
    assert accepted == taken.keys()
    for person in people:
        if person.kind == "template":
            assert _TEMPLATES_A_DAY <= len(person.accepted) < _MESSAGES
        else:
            assert len(person.accepted) == _MESSAGES
