"""Jobs that come as words are compared as they are, never split, folded or read by a shell; old agents get a text."""

from __future__ import annotations

import json
import random
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from skadi import config, match
from skadi.job import Job, job_to_store, read_job, read_stored_job
from skadi.words import split_words
from tests.skadi.fake_server import FakeServer, Handler
from tests.skadi.support import AgentProcess, wait_until

Make = Callable[..., AgentProcess]
ENTRIES = r"""
shortcuts:
  - {short: date, cmd: "date -u"}
  - {short: two words, cmd: "echo short"}
  - {short: piped, cmd: "echo a | cat"}
commands:
  - prefix: printf
  - {prefix: systemctl restart, args: ['^(nginx|php-fpm)$'], max_args: 1}
  - {prefix: php, args: ['artisan', '[a-z:]+', '[^-].*']}
  - {prefix: ls, options: refuse}
  - {prefix: shelled, shell: true}
  - {prefix: pasted, match: string}
  - {prefix: asks, confirm: true}
templates:
  - {name: Hi, temp: "echo I am not %s!"}
  - {name: rest, temp: "echo {*}"}
  - {name: sh, temp: "true && echo %s", shell: true}
  - {name: raw, temp: "echo %s", match: string}
"""
HOSTILE = (
    ";", "; touch CANARY", "$(id)", "`id`", "a b", "a\nb", "\n", "", " ", "-rf", "--", "'", '"', "\\", "*", "~", "|cat",
    "&& id", ">CANARY", "$HOME", "%s", "{1}", "ｆｒｅｅ", "“x”", "\u3000", "傻瓜", "\x1b[0m", "a\\'b", "!!", "=",
)  # fmt: skip
NO_SHELL = "goes through a shell, which a job sent as words never does"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> config.Config:
    folder = tmp_path_factory.mktemp("file")
    path = folder / "skadi.yml"
    path.write_text(ENTRIES, encoding="utf-8")
    path.chmod(0o600)
    folder.chmod(0o700)
    return config.load(str(path), {})


def outcome(loaded: config.Config, argv: Sequence[str]) -> Sequence[str] | str:
    decision = match.decide(loaded, shlex.join(argv), argv)
    return decision.text if isinstance(decision, match.DirectAnswer) else list(decision.argv)


def test_words_choose_an_entry_of_the_file(loaded: config.Config) -> None:
    table: tuple[tuple[list[str], list[str] | str], ...] = (
        (["date"], ["date", "-u"]),
        (["two words"], ["echo", "short"]),
        (["piped"], ["/bin/sh", "-c", "echo a | cat"]),  # the text is the file's own and has no word of the job
        (["two", "words"], "unsupported command: two words"),
        (["date", ""], "unsupported command: date ''"),
        (["DATE"], "unsupported command: DATE"),
        (["ｄａｔｅ"], "unsupported command: 'ｄａｔｅ'"),
        (["date "], "unsupported command: 'date '"),
        (["systemctl", "restart", "nginx"], ["systemctl", "restart", "nginx"]),
        (["systemctl restart", "nginx"], "unsupported command: 'systemctl restart' nginx"),
        (["systemctl restart nginx"], "unsupported command: 'systemctl restart nginx'"),
        (["systemctl", "restart", "nginx\n"], "argument 1 is not allowed"),
        (["systemctl", "restart", "ssh"], "argument 1 is not allowed"),
        (["systemctl", "restart", "nginx", "ssh"], "more than 1 arguments"),
        (["systemctl", "stop", "nginx"], "unsupported command: systemctl stop nginx"),
        (["systemctl"], "unsupported command: systemctl"),
        (["php", "artisan", "queue:work", "a b"], ["php", "artisan", "queue:work", "a b"]),
        (["php", "-r", "system('id');"], "argument 1 is not allowed"),
        (["ls", "-l"], "argument 1 begins with -"),
        (["ls", ""], ["ls", ""]),
        (["lsof"], "unsupported command: lsof"),
        (["Hi", "a b"], ["echo", "I", "am", "not", "a b!"]),
        (["Hi", "-n"], "argument 1 begins with -"),
        (["Hi", "a", "b"], "usage: Hi ARGUMENT1"),
        (["rest", "", ";"], ["echo", "", ";"]),
        (["shelled"], NO_SHELL),
        (["shelled", "a"], NO_SHELL),
        (["pasted", "; id"], NO_SHELL),
        (["pasted; id"], "unsupported command"),
        (["sh", "a"], NO_SHELL),
        (["raw", "a"], NO_SHELL),
        ([""], "unsupported command: ''"),
        (["printf a"], "unsupported command"),
        (["printf", "a\0b"], "unsupported command: the text contains a NUL character"),
        (["printf", "\ud800"], "unsupported command: the text is not valid Unicode"),
        (["rest", "x" * 4096], "unsupported command: longer than 4096 bytes"),
        ([], "unsupported command: its words cannot be read"),
        (["help me"], "unsupported command: 'help me'"),
    )
    wrong = []
    for argv, expected in table:
        found = outcome(loaded, argv)
        if not (found == expected or (isinstance(expected, str) and isinstance(found, str) and expected in found)):
            wrong.append((argv, found))
    assert wrong == []
    assert outcome(loaded, ["help"]) == match.help_text(loaded)
    assert outcome(loaded, ["all"]) == match.help_text(loaded)


def test_hostile_words_stay_words_here_and_in_the_text_for_old_agents(loaded: config.Config) -> None:
    chance = random.Random(5)
    for _ in range(500):
        words = chance.choices(HOSTILE, k=chance.randint(1, 5))
        assert split_words(shlex.join(words)) == words
        assert outcome(loaded, ["printf", *words]) == ["printf", *words]
        assert outcome(loaded, ["print", *words]) == "unsupported command: " + shlex.join(["print", *words])
        for entry in ("shelled", "pasted", "sh", "raw"):
            assert outcome(loaded, [entry, *words]) == f"{entry}: {NO_SHELL}"


def test_what_is_no_list_of_words_is_not_taken_for_a_text(loaded: config.Config) -> None:
    for value in ("date", [], ["date", 1], [["date"]], {"0": "date"}, 5, True, ["date"] * 65):
        job = read_job({"id": "one", "message": "date", "argv": value})
        assert job is not None
        assert job.argv == (), value
        assert isinstance(match.decide(loaded, job.message, job.argv), match.DirectAnswer), value
    for body in ({"id": "one", "message": "date"}, {"id": "one", "message": "date", "argv": None}):
        assert read_job(body) == Job("one", "date")
    assert read_job({"id": "one", "message": "date", "argv": ["date", ""]}) == Job("one", "date", argv=("date", ""))


def test_words_are_kept_over_a_restart_apart_from_what_runs() -> None:
    job = Job("one", "Hi a", argv=("Hi", "a"))
    kept: dict[str, Any] = json.loads(json.dumps(job_to_store(job)))
    assert read_stored_job(kept) == job
    # The shim's command is added before it starts. A job of an earlier version has no words of its own.
    assert read_stored_job({**kept, "argv": ["echo", "I", "am", "not", "a!"]}) == job
    assert read_stored_job({**job_to_store(Job("one", "free")), "argv": ["free"]}) == Job("one", "free")
    assert read_stored_job(None) is None


def test_the_agent_runs_words_as_they_are(server: FakeServer, make_agent: Make, tmp_path: Path) -> None:
    hostile = [word for word in HOSTILE if "\x1b" not in word]  # escapes are removed from a report
    wishes = [["printf", "<%s>", *hostile], ["sh", "x; id"], ["printf", "a; id"], ["unknown", ";", "id"]]
    bodies = [{"id": f"one-{number}", "message": shlex.join(argv), "argv": argv} for number, argv in enumerate(wishes)]

    def offer(body: dict[str, Any]) -> Callable[[Handler], None]:
        return lambda handler: handler.answer(200, body)

    server.poll_replies.extend(map(offer, bodies))
    make_agent(ENTRIES).start()
    wait_until(lambda: len(server.reports) == len(wishes), seconds=20)
    reports = [server.reports[body["id"]] for body in bodies]
    assert [kind for kind, _body in reports] == ["succeed", "fail", "succeed", "fail"]
    assert reports[0][1]["result"] == "".join(f"<{word}>" for word in hostile)
    assert NO_SHELL in reports[1][1]["result"]
    assert reports[2][1]["result"] == "a; id"
    assert reports[3][1]["result"] == "unsupported command: unknown ';' id"
    assert not list(tmp_path.rglob("CANARY"))
