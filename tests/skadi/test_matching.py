"""The meaning of a message: words, order, templates, and the help text byte for byte."""

from __future__ import annotations

import random
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from skadi import config, match
from skadi.words import WordsError, split_words
from tests.skadi.support import SAMPLE

NO = "t does not run: temp cannot be used: "
SAY = "; say what it may be with `args: ['^...$']`"
HELP = (
    "\n\nShortcuts:\n - date: date --rfc-3339=second \n - lsroot: ls [/]\n\nCommands:\n - free \n\n"
    "Templates:\n - Hi: echo I am not %s! "
)


def load(tmp_path: Path, text: str = SAMPLE) -> config.Config:
    path = tmp_path / "skadi.yml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    return config.load(str(path), {})


def outcome(tmp_path: Path, text: str, message: str) -> Sequence[str] | str:
    """Return the argument list, or the text of the answer."""
    decision = match.decide(load(tmp_path, text), message)
    return decision.text if isinstance(decision, match.DirectAnswer) else list(decision.argv)


@pytest.mark.parametrize("message", ["help", "all", "HELP", " help "])
def test_help_is_byte_for_byte_the_originals(tmp_path: Path, message: str) -> None:
    decision = match.decide(load(tmp_path), message)
    assert decision == match.DirectAnswer(HELP, ok=True)


def test_help_marks_what_the_original_did_not_have(tmp_path: Path) -> None:
    text = (
        "shortcuts:\n  - {short: a, cmd: b, hidden: true}\n  - {short: c, cmd: d, description: does d}\n"
        "  - {short: s, cmd: t, confirm: totp}\ncommands:\n  - {prefix: sh x, match: string, dir: /}\n"
    )
    assert match.help_text(load(tmp_path, text)) == (
        "\n\nShortcuts:\n - c: d (does d)\n - s: t [refused: confirm is not supported by this version]"
        "\n\nCommands:\n - sh x [/] [unsafe]"
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("date", ["date", "--rfc-3339=second"]),
        ("DATE", ["date", "--rfc-3339=second"]),
        ("ｄａｔｅ", ["date", "--rfc-3339=second"]),
        ("date now", "unsupported command: date now"),
        ("date; id", "unsupported command: date; id"),
        ("lsroot", ["ls"]),
        ("free", ["free"]),
        ("free -k", ["free", "-k"]),
        ("ｆｒｅｅ -k", ["free", "-k"]),
        ("free　-k", ["free", "-k"]),
        ('free \'a b\' "c\\"d"', ["free", "a b", 'c"d']),
        ("free\n-k", ["free", "-k"]),
        ("free $(id) `id` ; | > &", ["free", "$(id)", "`id`", ";", "|", ">", "&"]),
        ("freedom", "unsupported command: freedom"),
        ("free; id", "unsupported command: free; id"),
        ("free`id`", "unsupported command: free`id`"),
        ("FREE", "unsupported command: FREE"),
        ("fr", "unsupported command: fr"),
        ("", "unsupported command: "),
        (" ", "unsupported command:  "),
        ("free 'x", "free: a quote ' is not closed"),
        ("Hi 傻瓜", ["echo", "I", "am", "not", "傻瓜!"]),
        ("Hi “a b”", ["echo", "I", "am", "not", "a b!"]),
        ("Hi it’s", ["echo", "I", "am", "not", "it’s!"]),
        ("Hi 说“好”", ["echo", "I", "am", "not", "说“好”!"]),
        ("Ｈｉ x", ["echo", "I", "am", "not", "x!"]),
        ("Hi $(id)", ["echo", "I", "am", "not", "$(id)!"]),
        ("Hi", "usage: Hi ARGUMENT1 (needs 1, got 0)"),
        ("Hi a b c", "usage: Hi ARGUMENT1 (needs 1, got 3)"),
        ("Hi -n", "Hi: argument 1 begins with -, which is refused here"),
        ("hi x", "unsupported command: hi x"),
        ("free \0", "unsupported command: the text contains a NUL character"),
        ("free \ud800", "unsupported command: the text is not valid Unicode"),
        ("free " + "x" * 4096, "unsupported command: longer than 4096 bytes"),
        ("free" + " x" * 65, "free: more than 64 arguments"),
    ],
)
def test_a_message_is_matched_by_whole_words(tmp_path: Path, message: str, expected: Sequence[str] | str) -> None:
    assert outcome(tmp_path, SAMPLE, message) == expected


def test_entries_come_in_the_order_of_the_original(tmp_path: Path) -> None:
    text = (
        "templates:\n  - {name: x, temp: echo template %s}\ncommands:\n  - {prefix: x, match: words}\n"
        "  - {prefix: two words}\nshortcuts:\n  - {short: X, cmd: big}\n  - {short: x y, cmd: shortcut}\n"
    )
    assert outcome(tmp_path, text, "x y") == ["shortcut"]
    assert outcome(tmp_path, text, "x z") == ["x", "z"]
    assert outcome(tmp_path, text, "x") == ["x"]  # a name as written comes before the folded shortcut X
    assert outcome(tmp_path, text, "two words z") == ["two", "words", "z"]
    assert outcome(tmp_path, text, "two  'words' z") == ["two", "words", "z"]
    assert str(outcome(tmp_path, text, "two")).startswith("unsupported")


def test_a_folded_name_that_is_not_unique_matches_nothing(tmp_path: Path) -> None:
    text = "shortcuts:\n  - {short: Restart, cmd: a}\n  - {short: RESTART, cmd: b}\n"
    assert outcome(tmp_path, text, "RESTART") == ["b"]
    assert outcome(tmp_path, text, "restart") == "unsupported command: restart"


@pytest.mark.parametrize(
    ("temp", "message", "expected"),
    [
        ("echo %s-%v", "t a b", ["echo", "a-b"]),
        ("echo 100%% %q", "t a", ["echo", "100%", "a"]),
        ("echo %d", "t 12", ["echo", "12"]),
        ("echo %d", "t x", "usage: t ARGUMENT1 (argument 1 must be a whole number)"),
        ("echo %[2]s %[1]s", "t a b", ["echo", "b", "a"]),
        ("echo %[1]s %[1]s", "t a", ["echo", "a", "a"]),
        ("echo {2} {1}", "t a b", ["echo", "b", "a"]),
        ("echo {1:[a-z]{2,3}}", "t abc", ["echo", "abc"]),
        ("echo {1:[a-z]{2,3}}", "t abcd", "usage: t ARGUMENT1 (argument 1 does not match [a-z]{2,3})"),
        ("echo {1} {*}", "t a b 'c d'", ["echo", "a", "b", "c d"]),
        ("echo x{*}y", "t a b", ["echo", "xa by"]),
        ("echo {1} {*}", "t", "usage: t ARGUMENT1 ... (needs at least 1, got 0)"),
        ("echo 'hi %s' \"and %s\"", "t 'a b' $x", ["echo", "hi a b", "and $x"]),
        ("docker ps --format '{{.Names}}' {} %s", "t a", ["docker", "ps", "--format", "{{.Names}}", "{}", "a"]),
        ("echo fixed", "t", ["echo", "fixed"]),
        ("echo %s", "t ''", ["echo", ""]),
        ("echo %x", "t a", NO + "%x is not supported, write %% for a percent sign"),
        ("cd /x && up %s", "t a", NO + "& needs `shell: true`, or quotes if it is meant as text"),
        ("%s --version", "t a", NO + "the value would choose the program" + SAY),
        ("sh -c 'echo %s'", "t a", NO + "sh would read the value as a program" + SAY),
        ("ssh host uptime %s", "t a", NO + "ssh would read the value as a program" + SAY),
        ("sh up.sh %s", "t a", ["sh", "up.sh", "a"]),
        ("sudo -n env X=1 %s", "t a", NO + "the value would choose the program" + SAY),
        ("timeout 5 ls %s", "t a", ["timeout", "5", "ls", "a"]),
    ],
)
def test_templates_are_split_first_and_filled_after(
    tmp_path: Path, temp: str, message: str, expected: Sequence[str] | str
) -> None:
    quoted = "'" + temp.replace("'", "''") + "'"
    assert outcome(tmp_path, f"templates:\n  - name: t\n    temp: {quoted}\n", message) == expected


@pytest.mark.parametrize(
    ("temp", "script"),
    [
        ("cd / && echo %s", 'cd / && echo "${1}"'),
        ('echo "hi %s"', 'echo "hi ${1}"'),
        ("echo 'hi %s'", "echo 'hi '\"${1}\"''"),
        ("echo x=%s | cat", 'echo x="${1}" | cat'),
        ("echo {1} {*} | cat", 'echo "${1}" "${2}" "${3}" | cat'),
    ],
)
def test_values_reach_a_shell_as_positional_parameters(tmp_path: Path, temp: str, script: str) -> None:
    quoted = "'" + temp.replace("'", "''") + "'"
    values = ["$(id)", "a b", "c"] if "{*}" in temp else ["$(id)"]
    found = outcome(tmp_path, f"templates:\n  - {{name: t, temp: {quoted}, shell: true}}\n", "t " + shlex.join(values))
    assert found == ["/bin/sh", "-c", script, "sh", *values]


@pytest.mark.parametrize(
    "temp",
    [
        "echo `echo %s`",
        "echo $(echo %s)",
        "cat <<E\n%s\nE",
        "echo x # it's %s",
        "eval echo %s",
        'sh -c "echo %s"',
        "cd / && %s",
        "cd /; %s",
        "true | %s",
        "if true; then %s; fi",
        "%s",
        'echo "%s',
        "ssh host %s",
        "echo ${X:-%s}",
        "cd / &&\n%s",
        "( %s )",
        "(%s)",
        "{ %s; }",
        "! %s",
        "python3 -c 'print(%s)'",
        'su -c "%s" nobody',
    ],
)
def test_shell_text_that_would_run_a_value_is_refused(tmp_path: Path, temp: str) -> None:
    quoted = '"' + temp.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    found = outcome(tmp_path, f"templates:\n  - {{name: t, temp: {quoted}, shell: true}}\n", "t id")
    assert isinstance(found, str), found
    assert found.startswith("t does not run: temp cannot be used")


def test_args_restrict_by_position_and_the_last_repeats(tmp_path: Path) -> None:
    text = (
        "commands:\n  - {prefix: systemctl restart, args: ['^(nginx|php)$', '[a-z]+'], max_args: 3, options: refuse}\n"
    )
    assert outcome(tmp_path, text, "systemctl restart nginx a b") == ["systemctl", "restart", "nginx", "a", "b"]
    for message in ("systemctl restart ssh", "systemctl restart nginx a B", "systemctl restart nginx --now"):
        assert str(outcome(tmp_path, text, message)).startswith("systemctl restart: argument")
    assert outcome(tmp_path, text, "systemctl restart nginx a b c") == "systemctl restart: more than 3 arguments"
    # A full match: `$` does not accept a line break at the end.
    assert str(outcome(tmp_path, text, "systemctl restart 'nginx\n'")).startswith("systemctl restart: argument 1")


def test_shortcuts_get_a_shell_only_when_their_text_needs_one(tmp_path: Path) -> None:
    text = (
        "shortcuts:\n  - {short: a, cmd: 'ls -l | wc'}\n  - {short: b, cmd: 'X=1 env'}\n  - {short: c, cmd: cd /}\n"
        "  - {short: d, cmd: 'echo \"a b\"'}\n  - {short: e, cmd: 'echo $X', shell: false}\n"
        "  - {short: f, cmd: ls, shell: true}\n"
    )
    assert outcome(tmp_path, text, "a") == ["/bin/sh", "-c", "ls -l | wc"]
    assert outcome(tmp_path, text, "b") == ["/bin/sh", "-c", "X=1 env"]
    assert outcome(tmp_path, text, "c") == ["/bin/sh", "-c", "cd /"]
    assert outcome(tmp_path, text, "d") == ["echo", "a b"]
    assert outcome(tmp_path, text, "e") == ["echo", "$X"]
    assert outcome(tmp_path, text, "f") == ["/bin/sh", "-c", "ls"]


def test_match_string_is_the_unsafe_way_of_the_original(tmp_path: Path) -> None:
    text = (
        "commands:\n  - {prefix: free, match: string}\n"
        "templates:\n  - {name: Hi, temp: 'echo I am %s!', match: string}\n"
    )
    assert outcome(tmp_path, text, "free; id") == ["/bin/sh", "-c", "free; id"]
    assert outcome(tmp_path, text, "Hi $(id)") == ["/bin/sh", "-c", "echo I am $(id)!"]
    assert outcome(tmp_path, text, "Hi") == "usage: Hi ARGUMENT1 (needs 1, got 0)"


def test_words_are_those_of_shlex() -> None:
    chance = random.Random(3)
    compared = 0
    for _ in range(20_000):
        text = "".join(chance.choice("ab $`;'\"\\\n\t-傻#") for _ in range(chance.randrange(12)))
        try:
            expected = shlex.split(text)
        except ValueError:
            with pytest.raises(WordsError):
                split_words(text)
            continue
        assert split_words(text) == expected, repr(text)
        compared += 1
    assert compared > 5000
