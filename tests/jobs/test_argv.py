"""Valid and invalid values of `argv`, and the text that is shown for it."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from jobs.api.order import QueuedSerializer, read_order
from jobs.argv import Command, read_argv
from jobs.gateway.agent_calls import agent_job_json
from jobs.models import MESSAGE_LENGTH, Job
from jobs.order import JobOrder
from kernel.errors import InvalidMessage, InvalidRequest
from kernel.http.bodies import checked_body
from kernel.strictjson import JsonObject


def test_words_are_kept_and_numbers_become_words() -> None:
    hostile = [";", "$(id)", "a b", "a\nb", "", "-rf", "'", '"', "\\", "`id`", "傻瓜", "\x1b[0m"]
    assert read_argv(["sh", *hostile]).argv == ("sh", *hostile)
    assert shlex.split(read_argv(["sh", *hostile]).message) == ["sh", *hostile]
    # As Go prints them: strconv.FormatFloat(x, 'f', -1, 64).
    numbers = {0: "0", -7: "-7", 10**19: "1" + "0" * 19, 1.5: "1.5", 3.0: "3", -0.25: "-0.25", 1e21: "1" + "0" * 21}
    numbers |= {1e-7: "0.0000001", 0.1: "0.1", 123456789.125: "123456789.125", 100.0: "100"}
    assert read_argv(["n", *numbers]).argv == ("n", *numbers.values())
    assert read_argv(["free", 1]) == Command(message="free 1", argv=("free", "1"))
    assert read_argv(["x"] * 64).argv == ("x",) * 64


def test_arguments_that_no_program_could_get_are_refused() -> None:
    bad: tuple[Any, ...] = (
        [], ["x"] * 65, "date", {"0": "x"}, 5, [None], [True], [["x"]], ["a\0b"], ["\ud800"],
        ["x" * (MESSAGE_LENGTH + 1)], ["'" * (MESSAGE_LENGTH // 4)],
    )  # fmt: skip
    for value in bad:
        with pytest.raises(InvalidMessage):
            read_argv(value)


def _read(body: JsonObject) -> JobOrder:
    return read_order(checked_body(QueuedSerializer, {"agent": "box", **body}))


def test_a_job_is_a_text_or_words() -> None:
    assert (_read({"message": "free -k"}).message, _read({"message": "free -k"}).stored_params) == ("free -k", None)
    words = _read({"argv": ["free", "-k"]})
    assert (words.message, words.stored_params) == ("free -k", {"argv": ["free", "-k"]})
    assert _read({"argv": None, "message": "x"}).argv is None
    with pytest.raises(InvalidRequest):
        _read({"argv": ["free"], "message": "x"})
    for message in ({}, {"message": None}, {"message": " "}):
        with pytest.raises(InvalidMessage):
            _read({**message})


def test_only_agents_of_protocol_2_get_the_words() -> None:
    job = Job(id="one", message="free -k", params={"argv": ["free", "-k"], "task_id": "own"})
    offered = agent_job_json(job, 2)
    assert offered["argv"] == ["free", "-k"]  # type: ignore[typeddict-item]
    assert "params" not in offered
    assert agent_job_json(job, 1) == {"id": "one", "message": "free -k"}
