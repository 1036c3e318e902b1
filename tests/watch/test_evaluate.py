"""Notices of runs in every mode: each row is a sequence of runs with the notice after each."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.watch.evaluate import Memory, Notice, Run, evaluate
from jobs.watch.memory import MEMORY_LIMIT
from jobs.watch.policy import NotifyPolicy, read_policy

START = dt.datetime(2026, 3, 1, 8, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def _run(said: object, at: dt.datetime) -> Run:
    """A run from a text (a success with this output), a number (an exit code without output) or both."""
    if said is None:
        return Run(succeeded=False, exit_code=None, text="", at=at, expired=True)
    code, text = said if isinstance(said, tuple) else (said, "") if isinstance(said, int) else (0, said)
    return Run(succeeded=code == 0, exit_code=code, text=str(text), at=at)


def _told(notice: Notice | None) -> str:
    """Return `kind +added -removed`, or ""."""
    if notice is None:
        return ""
    return " ".join([notice.kind, *(f"+{line}" for line in notice.added), *(f"-{line}" for line in notice.removed)])


def _story(policy: NotifyPolicy, runs: list[object], every: dt.timedelta = 5 * MINUTE) -> list[str]:
    memory, told = None, []
    for number, said in enumerate(runs):
        evaluation = evaluate(policy, memory, _run(said, START + number * every))
        told.append(_told(evaluation.notice))
        # The memory is stored as JSON.
        memory = Memory.from_json(json.loads(json.dumps(evaluation.memory.to_json())))
        assert memory == evaluation.memory
    return told


CHANGE = {"when": "change"}
NEW = {**CHANGE, "mode": "new-items"}
DIFF = {**CHANGE, "mode": "diff"}
VALUE = {**CHANGE, "mode": "value"}
JSON = {**CHANGE, "mode": "json", "path": "a.b[0].c"}
SCRIPT = {**CHANGE, "mode": "script"}
EXIT = {**CHANGE, "mode": "exit"}
ELEMENTS = {**NEW, "key": "id"}
FAILED = (1, "boom")

STORIES: dict[str, tuple[dict[str, Any], list[tuple[object, str]]]] = {
    "the timer habit": (
        {**NEW, "max_tries": 3},
        [("a\nb", ""), ("a\nb", ""), ("a\nb", ""), ("a\nb\nc", "news +c"), ("", ""), ("a\nb\nc", ""), (FAILED, ""),
         (FAILED, ""), (FAILED, "failure"), (FAILED, ""), ("a\nb\nc", "recovery"), ("a\nb\nc", "")],
    ),
    "new items, first told": ({**NEW, "first": "notify"}, [("a\nb\na", "news +a +b"), ("b", ""), ("c\nb", "news +c")]),
    "nothing there is a baseline of new items": (NEW, [("", ""), ("a", "news +a"), ("", ""), ("a", "")]),
    "an item that comes back within forget is not new": (
        {**NEW, "forget_seconds": 600}, [("a", ""), ("b", "news +b"), ("a\nb", ""), ("a", "")]
    ),
    "an item that comes back later is": (
        {**NEW, "forget_seconds": 600}, [("a\nb", ""), ("b", ""), ("b", ""), ("a\nb", "news +a"), ("b", "")]
    ),
    "elements by key": (
        ELEMENTS,
        [('[{"id": 1, "x": 1}]', ""), ('[{"x": 2, "id": 1}]', ""), ('{"id": 2}', 'news +{"id": 2}'),
         ("[]", ""), ("<html>", ""), ("", ""), ('[{"id": 1}, {"id": 2}]', "")],
    ),
    "elements without the key are known by all of it": (ELEMENTS, [('["a"]', ""), ('["b", "a"]', "news +b")]),
    "a page that is no JSON is no baseline": (ELEMENTS, [("<html>", ""), ('[{"id": 1}]', ""), ('[{"id": 1}]', "")]),
    "diff": (DIFF, [("a\nb", ""), ("a\nb", ""), ("a\nc", "news +c -b"), ("c\na", ""), ("c\na\na", "news +a")]),
    "diff, first told": ({**DIFF, "first": "notify"}, [("a", "news +a"), ("a", "")]),
    "blank is not compared": (DIFF, [("", ""), ("a", ""), (" \n\t\n", ""), ("a", ""), ("b", "news +b -a")]),
    "blank is a change where it is said so": ({**DIFF, "empty": "change"}, [("a", ""), ("", "news -a"),
        ("a", "news +a")]),
    "blank is a failure where it is said so": (
        {**DIFF, "empty": "fail"}, [("a", ""), ("", "failure"), ("", ""), ("a", "recovery"), ("a", "")]
    ),
    "ends of lines and blank lines count for nothing": (DIFF, [("a\nb", ""), ("a \r\n\r\nb\t\n\n", "")]),
    "colours count for nothing": (DIFF, [("\x1b[32ma\x1b[0m", ""), ("a\n\x1b[0m", ""), ("b", "news +b -a")]),
    "ignored lines": (
        {**DIFF, "ignore": ["^#", r"\d\d:\d\d"]},
        [("a\n# x", ""), ("# y\na\nat 10:30", ""), ("b\n# z", "news +b -a"), ("# only", ""), ("b", "")],
    ),
    "a change that waits to be confirmed": (
        {**DIFF, "confirm": 2},
        [("a", ""), ("b", ""), ("a", ""), ("b", ""), ("c", ""), ("c", "news +c -a"), ("c", ""), ("b", ""),
            ("b", "news +b -c")],
    ),
    "a new item that waits to be confirmed": (
        {**NEW, "confirm": 3}, [("a", ""), ("a\nb", ""), ("b", ""), ("b\na", "news +b"), ("b", "")]
    ),
    "cooldown keeps what is new for later": (
        {**DIFF, "cooldown_seconds": 600},
        [("a", ""), ("b", "news +b -a"), ("c", ""), ("d", "news +d -b"), ("e", ""), ("d", ""), ("d", "")],
    ),
    "cooldown keeps new items for later": (
        {**NEW, "cooldown_seconds": 600}, [("a", ""), ("b", "news +b"), ("c", ""), ("c\nd", "news +c +d")]
    ),
    "a failure does not wait for news to cool": (
        {**DIFF, "cooldown_seconds": 3600}, [("a", ""), ("b", "news +b -a"), (FAILED, "failure"), ("b", "recovery"),
                                              (FAILED, ""), ("b", "")],
    ),
    "recovery brings its news": (DIFF, [("a", ""), (FAILED, "failure"), ("b", "recovery +b -a"), ("b", "")]),
    "any other number": (VALUE, [("¥1,299.00", ""), ("now 1299", ""), ("now 1299.5", "news +1299.5 -1299"),
        ("sold out", ""), ("1299.50", "")]),
    "above, when it is crossed": (
        {**VALUE, "above": 90}, [("95", ""), ("96", ""), ("90", ""), ("90.5", "news +90.5 -90"), ("97", ""),
            ("80", ""), ("91", "news +91 -80")]
    ),
    "below, when it is crossed": ({**VALUE, "below": 10}, [("11", ""), ("10", ""), ("-9", "news +-9 -10"),
        ("5", ""), ("12", ""), ("9", "news +9 -12")]),
    "delta counts from the last notice": (
        {**VALUE, "delta": 5}, [("10", ""), ("12", ""), ("14", ""), ("15", "news +15 -10"), ("11", ""),
            ("10", "news +10 -15")]
    ),
    "thresholds are confirmed by what was crossed": (
        {**VALUE, "above": 90, "confirm": 2}, [("1", ""), ("95", ""), ("1", ""), ("95", ""),
            ("96", "news +96 -1"), ("97", "")]
    ),
    "no number any more, where that is a change": (
        {**VALUE, "empty": "change", "above": 5}, [("1", ""), ("gone", "news -1"), ("gone", ""), ("7", "news +7"),
            ("8", "")]
    ),
    "value in JSON": (
        JSON,
        [('{"a": {"b": [{"c": 1}]}}', ""), ('{"z": 1, "a": {"b": [{"c": 1}]}}', ""), ("<html>", ""), ('{"a": {}}', ""),
         ('{"a": {"b": [{"c": 2}]}}', "news +2 -1"), ('{"a": {"b": [{"c": {"y": "p", "x": [1, {}]}}]}}',
          "news +x[0]: 1 +x[1]: {} +y: p -2")],
    ),
    "values in JSON that changed places": (
        {**JSON, "path": "a"}, [('{"a": {"x": {"n": 1}, "y": {"n": 2}}}', ""),
                                 ('{"a": {"x": {"n": 2}, "y": {"n": 1}}}', "news +x.n: 2 +y.n: 1 -x.n: 1 -y.n: 2"),
                                 ('{"a": {"y": {"n": 1}, "x": {"n": 2}}}', "")],
    ),
    "ignored in JSON": ({**JSON, "path": "a", "ignore": ["^at:"]}, [('{"a": {"at": 1, "n": 1}}', ""),
        ('{"a": {"at": 2, "n": 1}}', "")]),
    "the script decides": (
        SCRIPT, [((0, "x"), ""), ((0, "y"), ""), ((10, "z"), "news"), ((10, "z"), "news"), ((10, ""), "news"),
            (3, "failure"), (0, "recovery")]
    ),
    "every success": ({**CHANGE, "mode": "always"}, [("a", "result"), ("a", "result"), ("", "result"),
        (FAILED, "failure"), ("a", "recovery")]),
    "exit code": (EXIT, [((0, "x"), ""), ((0, "y"), ""), (3, "news +3 -0"), (3, ""), (None, "failure"),
        (3, "recovery"), (0, "news +0 -3")]),
    "exit 10 is a failure elsewhere": (DIFF, [("a", ""), ((10, "b"), "failure"), ("a", "recovery")]),
    "always": ({"when": "always"}, [("a", "result"), ("b", "news +b -a"), ("", "result"), (FAILED, "failure"),
        (FAILED, "failure"), ("b", "recovery")]),
    "always, script": ({"when": "always", "mode": "script"}, [("a", "result"), (10, "news"), (0, "result")]),
    "failure": ({"when": "failure"}, [("a", ""), (FAILED, "failure"), (FAILED, "failure"), ("b", ""),
        (None, "failure")]),
    "failure, the third in a row": (
        {"when": "failure", "max_tries": 3}, [(FAILED, ""), (FAILED, ""), (FAILED, "failure"),
            (FAILED, "failure"), ("", ""), (FAILED, "")]
    ),
    "failure, seldom": (
        {"when": "failure", "cooldown_seconds": 600}, [(FAILED, "failure"), (FAILED, ""), (FAILED, "failure"),
            (FAILED, "")]
    ),
    "edges": ({"when": "edges"}, [("a", ""), ("b", ""), (FAILED, "failure"), (FAILED, ""), (0, "recovery"),
        (0, ""), (None, "failure")]),
    "edges, what recovers in time is not told": (
        {"when": "edges", "max_tries": 2}, [(FAILED, ""), ("a", ""), (FAILED, ""), (FAILED, "failure"),
            ("a", "recovery")]
    ),
    "edges, exit codes": ({"when": "edges", "mode": "exit"}, [(0, ""), (3, "failure"), (4, ""), (0, "recovery")]),
}  # fmt: skip


def test_each_sequence_of_runs_gives_its_notices() -> None:
    wrong = {}
    for name, (data, runs) in STORIES.items():
        told = _story(read_policy(data), [said for said, _expected in runs])
        if told != [expected for _said, expected in runs]:
            wrong[name] = list(zip((said for said, _expected in runs), told, strict=True))
    assert wrong == {}


def test_another_way_to_compare_begins_with_a_silent_baseline_and_keeps_the_alert() -> None:
    before = evaluate(read_policy(DIFF), None, _run("a", START)).memory
    failed = evaluate(read_policy(DIFF), before, _run(FAILED, START)).memory
    evaluation = evaluate(read_policy({**DIFF, "ignore": ["^#"]}), failed, _run("b", START + MINUTE))
    assert _told(evaluation.notice) == "recovery"
    assert _told(evaluate(read_policy(NEW), before, _run("b", START + MINUTE)).notice) == ""


def test_clock_that_was_set_back_does_not_silence() -> None:
    policy = read_policy({**DIFF, "cooldown_seconds": 60})
    memory = evaluate(policy, None, _run("a", START)).memory
    memory = evaluate(policy, memory, _run("b", START)).memory
    assert _told(evaluate(policy, memory, _run("c", START - 60 * MINUTE)).notice) == "news +c -b"


def test_level_of_a_failure_is_a_warning_at_least() -> None:
    for level, expected in (("info", "warning"), ("warning", "warning"), ("error", "error")):
        notice = evaluate(read_policy({"level": level}), None, _run(FAILED, START)).notice
        assert notice is not None
        assert notice.level == expected


def test_more_than_can_be_kept_is_still_compared() -> None:
    """Lines beyond the limit are stored as hashes; the memory stays within its bound."""
    lines = [f"第{number}行 {'字' * 40}" for number in range(6000)]
    for data in (DIFF, NEW):
        policy = read_policy(data)
        memory = evaluate(policy, None, _run("\n".join(lines[:4000]), START)).memory
        assert len(json.dumps(memory.to_json())) <= MEMORY_LIMIT
        again = evaluate(policy, memory, _run("\n".join(lines[:4000]), START + MINUTE))
        assert again.notice is None
        assert len(json.dumps(again.memory.to_json())) <= MEMORY_LIMIT
        other = evaluate(policy, memory, _run("\n".join([*lines[:3999], "new"]), START + MINUTE))
        assert _told(other.notice) == ("news +new -…" if data is DIFF else "news +new")
    # With new lines at every run, the oldest are forgotten, but never current ones.
    policy, memory = read_policy(NEW), Memory()
    for number in range(7):
        text = "\n".join(f"{number} {line}" for line in range(1500))
        memory = evaluate(policy, memory, _run(text, START + number * MINUTE)).memory
        assert len(json.dumps(memory.to_json())) <= MEMORY_LIMIT
        assert evaluate(policy, memory, _run(text, START + number * MINUTE + MINUTE)).notice is None
    assert evaluate(policy, memory, _run("0 0", START + 60 * MINUTE)).notice is not None
    assert evaluate(policy, memory, _run("6 0", START + 60 * MINUTE)).notice is None


def test_very_long_lines_differ_where_they_end() -> None:
    policy = read_policy(DIFF)
    memory = evaluate(policy, None, _run("x" * 5000 + "a", START)).memory
    notice = evaluate(policy, memory, _run("x" * 5000 + "b", START)).notice
    assert notice is not None
    assert notice.added != notice.removed
    assert evaluate(policy, memory, _run("x" * 5000 + "a", START)).notice is None


LINE = st.sampled_from(
    ["a", "b", "c 7", "8", "-9.5", "# x", "", " ", '[{"id": 1}]', '{"a": 2}', '{"a": {"b": [1]}}', "é\x00", "\ud800"]
)
TEXT = st.lists(LINE, max_size=4).map("\n".join) | st.text(max_size=30)
CODE = st.sampled_from([0, 0, 0, 1, 10])
RUNS = st.lists(st.tuples(CODE, TEXT) | st.none(), max_size=8)
POLICIES = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["new-items", "diff", "value", "script", "always", "json", "exit"]),
        "path": st.sampled_from(["a", "[0]", "a.b"]),
    },
    optional={
        "when": st.sampled_from(["always", "failure", "edges", "change"]),
        "key": st.sampled_from(["line", "id"]),
        "ignore": st.sampled_from([["#"], ["a|b", r"\d"]]),
        "empty": st.sampled_from(["ignore", "change", "fail"]),
        "first": st.sampled_from(["silent", "notify"]),
        "confirm": st.integers(1, 3),
        "max_tries": st.integers(1, 3),
        "cooldown_seconds": st.sampled_from([0, 60, 1000]),
        "forget_seconds": st.sampled_from([60, 86_400]),
    },
)
COMPARING = ("new-items", "diff", "value", "json", "exit")


@settings(max_examples=60, deadline=None)
@given(POLICIES, RUNS)
def test_properties_hold_for_any_output(data: dict[str, Any], runs: list[Any]) -> None:
    """No diff is empty, a baseline and a blank output send nothing, and no notice is repeated."""
    policy = read_policy({"when": "change", **data})
    memory: Memory | None = None
    for number, said in enumerate(runs):
        run = _run(said, START + number * 5 * MINUTE)
        evaluation = evaluate(policy, memory, run)
        notice, known = evaluation.notice, memory is not None and memory.known
        if notice is not None and notice.kind == "news" and policy.mode in COMPARING:
            assert notice.added or notice.removed
            assert all(line.strip() for line in (*notice.added, *notice.removed))
            assert known or policy.first == "notify"
            if run.text.strip() == "" and policy.mode != "exit":
                assert policy.empty == "change"
        kept = json.dumps(evaluation.memory.to_json())
        kept.encode()
        memory = Memory.from_json(json.loads(kept))
        assert memory == evaluation.memory
        if policy.when == "change" and policy.mode in COMPARING and policy.confirm == 1 and not policy.cooldown_seconds:
            # Repeat the same run a little later.
            again = evaluate(policy, memory, _run(said, run.at + dt.timedelta(seconds=1)))
            assert again.notice is None or again.notice.kind == "failure"
            if again.notice is None and run.succeeded:
                assert (again.memory.lines, again.memory.value) == (memory.lines, memory.value)


@settings(max_examples=20, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_new_order_of_lines_is_not_a_change(lines: list[str], random: Any) -> None:
    for data in (DIFF, NEW):
        policy = read_policy(data)
        memory = evaluate(policy, None, _run("\n".join(lines), START)).memory
        random.shuffle(lines)
        assert evaluate(policy, memory, _run("\n".join(lines), START + MINUTE)).notice is None
