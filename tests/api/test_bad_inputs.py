"""Invalid input is never answered with a 5xx, and always in the shape of an error (S23, I11)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.bad_inputs import Bad, corpus
from tests.api.mounts import both_mounts, on_its_mounts
from tests.api.people import Live, Person, TheirAgent

_CORPUS = corpus()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    alice: Person
    agent: TheirAgent
    job_id: str


_stages: dict[str, _Stage] = {}


@pytest.fixture
def stage(live: Live, live_alice: Person) -> _Stage:
    """An agent with a claimed job. No bad request may change them, so all tests share them."""
    if live.process.base not in _stages:
        agent = live_alice.add_agent()
        _stages[live.process.base] = _Stage(alice=live_alice, agent=agent, job_id=live_alice.give(agent))
    return _stages[live.process.base]


def _filled(value: Any, stage: _Stage) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    words = {"name": stage.agent.name, "agent": stage.agent.id, "job": stage.job_id, "token": stage.alice.full}
    for name, word in words.items():
        text = text.replace("{" + name + "}", word)
    return json.loads(text)


def test_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(_CORPUS) >= 200
    assert len({bad.name for bad in _CORPUS}) == len(_CORPUS)


@pytest.mark.parametrize(
    ("live", "bad"),
    [
        mount_and_bad
        for bad in _CORPUS
        for mount_and_bad in on_its_mounts(bad, name=bad.name, method=bad.method, path=bad.path)
    ],
    indirect=["live"],
)
def test_bad_input_is_refused_in_the_error_shape(bad: Bad, live: Live, stage: _Stage) -> None:
    token = {"user": stage.alice.full, "agent": stage.agent.token, "nobody": None}[bad.who]
    path, headers = _filled(bad.path, stage), _filled(bad.headers, stage)
    answer = live(bad.method, path, _filled(bad.body, stage), token=token, headers=headers, raw=bad.raw)
    assert answer.status == bad.status, answer
    if bad.code:
        assert answer.body["error"] == bad.code


@both_mounts
def test_nothing_bad_left_a_trace(live: Live, stage: _Stage) -> None:
    job = stage.alice("GET", f"/jobs/{stage.job_id}").body
    assert job["status"] == "sent"
    agent = stage.alice("GET", f"/agents/{stage.agent.id}").body
    assert (agent["name"], agent["remark"], agent["enabled"]) == (stage.agent.name, "", True)
    sent = stage.alice("GET", f"/jobs?agent={stage.agent.id}").body["items"]
    assert [one["id"] for one in sent] == [stage.job_id]
