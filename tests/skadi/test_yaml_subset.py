"""The YAML subset means what YAML 1.2 says, or is refused: compared with PyYAML and the core schema."""

from __future__ import annotations

import random
import re
import string
from typing import Any

import pytest
import yaml

from skadi import yamlet

CORPUS = [
    "",
    "# nothing but a comment\n",
    "---\n",
    "a: 1",
    "a: 1\nb: two\nc: 3.5\n",
    "---\na: 1\n...\n",
    "\ufeffa: 1\n",
    "a: 1\r\nb: 2\r\n",
    "debug: false\ntoken: abc\nserver: https://letserver.example\n",
    'shortcuts:\n  - short: date\n    cmd: "date --rfc-3339=second"\n  - short: lsroot\n    dir: /\n    cmd: ls\n',
    "shortcuts:\n    - short: date\n      cmd: date\n    - short: b\n      cmd: c\n",
    "shortcuts:\n- short: date\n  cmd: date\n- short: b\n  cmd: c\nnext: 1\n",
    "a:\n  b:\n    c: d\n  e: f\ng: h\n",
    "a:\n      b: deep\n      c: deeper\nd: 1\n",
    "- a\n- b\n- - c\n  - d\n- e: f\n  g: h\n",
    "-\n  a: 1\n-\n  - 2\n",
    "- - - x\n    - y\n  - z\n",
    "- a: 1\n\n  b: 2\n# comment\n- c: 3\n",
    "key:\n",
    "key: # comment\n  nested: 1\n",
    "key: value # comment\n",
    "key: value#no comment\n",
    "key: 'it''s' # comment\n",
    'key: "a\\tb\\n\\u50bb\\x41\\\\ \\"q\\" \\/"\n',
    "key: 'a # b: c'\n",
    'key: "a: b # c"\n',
    "key: http://a.b/c?d=e#f\n",
    "key: a:b\n",
    "key: -x\n",
    "key: - x\n",
    "key: ?x\n",
    "a b c: d e f\n",
    "\"quoted key\": 1\n'other': 2\n",
    '"colon: inside": 1\n',
    "傻瓜: 家里\n- x\n",
    "家里: {short: 重启, cmd: 好}\n",
    "null_1: null\nnull_2: ~\nnull_3:\nnull_4: Null\nno: nULL\n",
    "t: [true, True, TRUE, tRUE, false, False, FALSE]\n",
    "w: [yes, no, on, off, Yes, NO, y, n]\n",
    "i: [0, -1, +12, 007, 0o17, 0x1F, 1_000, 0b11, 12345678901234567890]\n",
    "f: [1.5, -0.5, .5, 1., 1e3, 1.5e-3, +1E+2, .inf, -.INF, 1e, e1, 1.2.3]\n",
    "d: [2026-11-21, 12:30:45, 1:30]\n",
    "flow: [a, 'b, c', \"d\", [e, f], {g: h}]\n",
    "flow: {a: 1, 'b': [x, y], \"c\": {d: e}, f: }\n",
    "flow: [\n  a, # first\n  b\n  ,\n  c,\n]\nnext: 1\n",
    "flow: {a: 1,\n  b: 2\n}\n",
    "empty: [[], {}, '', \"\"]\n",
    '{"json": [1, true, null, "x"], "n": {"a":1}}\n',
    "[a, b, c]\n",
    "{a, b: c}\n",
    "f: [a: b]\n",
    "f: {a:b}\n",
    "f: {a: b, c}\n",
    "u: [http://a.b/c, x:y]\n",
    "lit: |\n  one\n  two\n\n  three\nafter: 1\n",
    "lit: |-\n  one\n  two\nafter: 1\n",
    "lit: |+\n  one\n\n\nafter: 1\n",
    "lit: |\n  one\n    more\n  back\n",
    "lit: |2\n   one\n  two\n",
    "lit: |2-\n    keep two\n",
    "lit: |\n\n  leading blank\n",
    "lit: | # comment\n  text # no comment\n",
    "fold: >\n  one\n  two\n\n  three\n    more\n    lines\n  back\n",
    "fold: >-\n  a\n  b\n",
    "fold: >+\n  a\n\n\n  b\n\n",
    "fold: >\n\n  a\n\n\n  b\n",
    "- |\n  a\n  b\n- >\n  c\n  d\n- x: |\n    e\n  y: f\n",
    "a:\n- |\n  x\n- y\n",
    "lit: |\n  no line break at the end",
    "plain: one\n  two\n  three\nnext: 1\n",
    "plain: one\n\n  two\n\n\n  three\n",
    "plain:\n  on the next line\n  and on\n",
    "- one\n  two\n- three\n",
    "single: 'one\n  two\n\n  three'\n",
    'double: "one\n  two \\\n  three\n\n  four  "\n',
    'double: "trailing   \n  x"\n',
    'double: "escaped\\  \n  x"\n',
    "just text\n",
    "'quoted text'\n",
    "| \n  top\n",
    "a: [1,2,3]\nb: [ 1 , 2 ]\n",
    "a: 'x'\nb: \"\"\n",
    "a: x # c1\n# c2\n  # c3\nb: y\n",
    "a:\n  - b\n  -\n  - c\n",
    "a:\n  -\n",
    "a: {b: [c, {d: e}], f: 'g'}\n",
    'cron: [{name: backup, cron: "0 30 3 * * ?", cmd: /opt/backup.sh, notify: {when: [fail]}}]\n',
    "1: a\ntrue: b\n~: c\n",
    "a: '---'\n",
    "a: b:c:d\n",
    'k: "\\U0001F600 \\e[0m"\n',
    "a: ' leading and trailing '\n",
    "a: '\n  x\n  '\n",
    "a:   \n  b: c   \n",
    "- 'a'   # x\n- \"b\"\n",
    "x: =\ny: <\nz: ()\n",
    "p: a, b, c\nq: a]b\nr: {x: a-b}\n",
]

REFUSED = [
    ("a:\tb\n", "tab"),
    ("\ta: b\n", "tab"),
    ("a: &x 1\n", "anchors"),
    ("a: *x\n", "aliases"),
    ("a: !!str 1\n", "tags"),
    ("a: !x 1\n", "tags"),
    ("b:\n  <<: {a: 1}\n", "merge"),
    ("a: 1\n---\nb: 2\n", "documents"),
    ("a: 1\na: 2\n", "twice"),
    ("a: {b: 1, b: 2}\n", "twice"),
    ("%YAML 1.2\n---\na: 1\n", "directives"),
    ("? a\n: b\n", "explicit"),
    ("a: b: c\n", "second"),
    ("a: 'x' y\n", "unexpected text"),
    ("a: [1, 2\n", "never closed"),
    ("a: 'x\n", "closing"),
    ("a: @x\n", "cannot begin"),
    ("a: `x`\n", "cannot begin"),
    ("a: %s\n", "cannot begin"),
    ("a: 1\n  b: 2\n", "second|indentation"),
    (" a: 1\nb: 2\n", "belong"),
    ("a:\n  b: 1\n c: 2\n", "indentation|belong|expected"),
    ("- a\nb: 1\n", "belong"),
    ("a: 1\n- b\n", "list item"),
    ('a: "\\q"\n', "escape"),
    ('a: "\\ud800"\n', "not a character"),
    ("a: \x07\n", "U\\+0007"),
    ("a\n", ""),
    ("[" * 200 + "]" * 200, "deep"),
    ("\n".join(" " * n + "a:" for n in range(200)), "deep"),
    ("a: [b\n  c]\n", "several lines"),
    ("a: [x: y]\n", "inside"),
]


class CoreLoader(yaml.SafeLoader):
    """PyYAML with the types of the YAML 1.2 core schema instead of those of YAML 1.1."""


CoreLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("null", r"^(?:null|Null|NULL|~|)$", ["n", "N", "~", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
    ("merge", r"^<<$", ["<"]),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)


def core_int(loader: CoreLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text.replace("0o", ""), 8) if text.startswith("0o") else int(text, 16 if text.startswith("0x") else 10)


CoreLoader.add_constructor("tag:yaml.org,2002:int", core_int)


class StrictLoader(CoreLoader):
    """The same, but duplicate keys are an error, as YAML demands."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len({repr(key) for key in keys}) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "duplicate key", node.start_mark)
        return super().construct_mapping(node, deep)


def reference(text: str) -> tuple[bool, Any]:
    try:
        return True, yaml.load(text, StrictLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return False, None


def ours(text: str) -> tuple[bool, Any]:
    try:
        return True, yamlet.load(text)
    except yamlet.YamlError:
        return False, None


def assert_equal_or_refused(text: str) -> bool:
    accepted, value = ours(text)
    if not accepted:
        return False
    valid, expected = reference(text)
    assert valid, f"accepted what PyYAML refuses: {text!r} -> {value!r}"
    assert repr(plain(value)) == repr(expected), f"{text!r}"
    return True


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("text", CORPUS)
def test_corpus_document_is_equal_or_refused(text: str) -> None:
    assert_equal_or_refused(text)


def test_most_of_the_corpus_is_accepted() -> None:
    accepted = [text for text in CORPUS if ours(text)[0]]
    assert len(CORPUS) >= 60
    assert len(accepted) >= 85, [text for text in CORPUS if not ours(text)[0]]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_outside_is_refused_with_line_and_reason(text: str, words: str) -> None:
    if not words:
        assert ours(text) == (True, "a")
        return
    with pytest.raises(yamlet.YamlError, match=rf"^line [0-9]+: .*(?:{words})"):
        yamlet.load(text)


def test_the_error_names_the_line() -> None:
    with pytest.raises(yamlet.YamlError) as caught:
        yamlet.load("a: 1\nb: 2\nc: &x 3\n")
    assert caught.value.line == 3


def test_untyped_scalars_keep_their_characters() -> None:
    text = "token: 00000000000000000007\nprefix: 1e5\nflag: true\nnone: ~\nempty:\nquoted: 'null'\n"
    assert plain(yamlet.load(text, typed=False)) == {
        "token": "00000000000000000007",
        "prefix": "1e5",
        "flag": "true",
        "none": None,
        "empty": None,
        "quoted": "null",
    }


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 3 else 4)
    if kind < 3:
        alphabet = string.ascii_letters + " :#-'\"[]{},&*!|>%@`\n家里\\0123."
        return "".join(chance.choice(alphabet) for _ in range(chance.randrange(12)))
    if kind == 3:
        return chance.choice([None, True, False, 0, 7, -3, 1.5, "yes", "null", "012", "~", ""])
    if kind == 4:
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {f"k{number}": random_value(chance, depth + 1) for number in range(chance.randrange(4))}


def test_what_pyyaml_writes_is_read_back() -> None:
    chance = random.Random(7)
    read = 0
    for _ in range(600):
        value = random_value(chance)
        text = yaml.safe_dump(
            value,
            allow_unicode=True,
            default_flow_style=chance.choice([None, False, True]),
            indent=chance.choice([2, 4]),
            width=chance.choice([20, 80]),
        )
        read += assert_equal_or_refused(text)
    assert read > 400


def mutations(number: int, seed: int) -> int:
    chance = random.Random(seed)
    pieces = [
        ": ",
        "- ",
        "\n",
        "  ",
        " ",
        "#",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        ",",
        "|",
        ">",
        "&",
        "*",
        "!",
        "?",
        "x",
        "\n\n",
        "\\",
        "-",
        ":",
        "0",
        "~",
        "\n- ",
        "\n  ",
    ]
    accepted = 0
    for _ in range(number):
        text = chance.choice(CORPUS)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(text) + 1)
            until = at + chance.choice([0, 0, 0, 1, 2, 5])
            text = text[:at] + chance.choice([*pieces, ""]) + text[until:]
        accepted += assert_equal_or_refused(text)
    return accepted


def test_damaged_documents_are_equal_or_refused() -> None:
    assert mutations(3000, seed=1) > 800


@pytest.mark.long
def test_many_damaged_documents_are_equal_or_refused() -> None:
    assert mutations(200_000, seed=2) > 50_000
