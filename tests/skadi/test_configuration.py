"""skadi.yml: which values load, which are refused, which only cause a warning, and which file the agent trusts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from skadi import config, match
from skadi.values import duration_text, seconds, size
from tests.skadi.fake_server import FakeServer
from tests.skadi.support import TOKEN, AgentProcess, wait_until

TOP = f"token: {TOKEN}\nserver: https://letserver.example\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., config.Config]:
    tmp_path.chmod(0o700)

    def load(text: str, environment: dict[str, str] | None = None, mode: int = 0o600) -> config.Config:
        path = tmp_path / "skadi.yml"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return config.load(str(path), environment or {})

    return load


Load = Callable[..., config.Config]


def test_the_sample_loads_without_a_warning(load: Load) -> None:
    text = (Path(__file__).parents[2] / "skadi" / "skadi.example.yml").read_text(encoding="utf-8")
    loaded = load(text)
    assert loaded.warnings == ()
    assert [entry.name for entry in loaded.entries] == [
        "date",
        "lsroot",
        "uptime",
        "whoami",
        "disk",
        "slow",
        "free",
        "Hi",
    ]
    assert "\ntoken:\n" in text
    assert "\nserver: " in text


def test_the_layout_the_original_leaves_behind_loads(load: Load) -> None:
    loaded = load(
        'debug: false\ntoken: "01234567890123456789"\nserver: https://letserver.example:8443/api/\n'
        'shortcuts:\n    - short: date\n      dir: ""\n      cmd: date --rfc-3339=second\n'
        'commands:\n    - prefix: free\n      dir: ""\ntemplates:\n    - name: Hi\n      dir: ""\n'
        "      temp: 'echo I am a very long text that some writers of YAML fold when it gets longer\n"
        "        than their line: %s!'\n"
    )
    assert loaded.warnings == ()
    assert loaded.token == "01234567890123456789"
    assert str(loaded.server) == "https://letserver.example:8443/api"
    assert loaded.entries[2].text.endswith("gets longer than their line: %s!")


def test_a_token_of_digits_stays_text(load: Load) -> None:
    assert load("token: 00000000000000000007\n").token == "00000000000000000007"
    assert load("token: 1234567890123456789e\n").token == "1234567890123456789e"


def test_environment_overrides_the_file(load: Load) -> None:
    environment = {"CONFIGOR_TOKEN": "b" * 20, "CONFIGOR_SERVER": "https://b.example", "CONFIGOR_DEBUG": "true"}
    loaded = load(TOP, environment)
    assert (loaded.token, str(loaded.server), loaded.debug) == ("b" * 20, "https://b.example:443", True)
    loaded = load(
        TOP, {**environment, "SKADI_TOKEN": "c" * 20, "SKADI_SERVER": "https://c.example", "SKADI_DEBUG": "0"}
    )
    assert (loaded.token, str(loaded.server), loaded.debug) == ("c" * 20, "https://c.example:443", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("token: short\n", "20 letters and digits"),
        ("token: lsu_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "20 letters and digits"),
        ("server: ftp://x\n", "must be an address"),
        ("server: letserver.example\n", "must be an address"),
        ("server: http://letserver.example\n", "insecure_http"),
        ("server: http://127.0.0.1.evil.example\n", "insecure_http"),
        ("server: https://u:p@x\n", "without user"),
        ("server: https://x:99999999\n", "not a valid address"),
        ("debug: perhaps\n", "line 1: debug must be true or false"),
        ("- a\n", "expected keys"),
        ("shortcuts: {a: b}\n", "line 1: shortcuts must be a list"),
        ("shortcuts:\n  - text\n", "each of shortcuts must be a map"),
        ("defaults: {timeout: soon}\n", "line 1: defaults.timeout must be a duration"),
        ("a: &b c\n", "line 1: anchors"),
        ("stop_timeout: 2 days\n", "stop_timeout must be a duration"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(load: Load, text: str, words: str) -> None:
    with pytest.raises(config.ConfigError, match=words):
        load(text)


def test_plain_http_is_for_loopback_or_on_request(load: Load) -> None:
    for address in ("http://127.0.0.1:80", "http://localhost", "http://[::1]:8000"):
        assert load(f"server: '{address}'\n").server is not None
    assert load("server: http://letserver.example\ninsecure_http: true\n").server is not None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("confirm: totp", "confirm is not supported by this version"),
        ("secrets: [A]", "secrets is not supported"),
        ("limits: {cpu: 1}", "limits is not supported"),
        ("redact: [x]", "redact is not supported"),
        ("comfirm: totp", "did you mean confirm"),
        ("max_arg: 1", "did you mean max_args"),
        ("timeout: soon", "timeout must be a duration"),
        ("timeout: 0", "timeout must be between"),
        ("args: '^x$'", "args must be a list"),
        ("args: ['(']", "not a regular expression"),
        ("args:", "args must be a list"),
        ("max_args: many", "max_args must be a number"),
        ("options: maybe", "options must be allow or refuse"),
        ("umask: 999", "umask must be octal"),
        ("env: [a]", "env must be a map"),
        ("env: {a-b: c}", "not a valid name of an environment variable"),
        ("output: 1TB", "output must be a size"),
        ("match: regex", "match must be words or string"),
        ("shell: perhaps", "shell must be true or false"),
        ("user: no-such-user-here", "no user or group|runs as root"),
        ("group: root", "group needs user|runs as root"),
    ],
)
def test_an_entry_that_is_wrong_answers_why_and_never_runs(load: Load, keys: str, words: str) -> None:
    loaded = load(f"commands:\n  - prefix: free\n    {keys}\n  - prefix: df\n")
    decision = match.decide(loaded, "free -k")
    assert isinstance(decision, match.DirectAnswer)
    assert decision.text.startswith("free does not run: ")
    import re

    assert re.search(words, decision.text), decision.text
    assert any("line 2: command free never runs" in warning for warning in loaded.warnings)
    assert isinstance(match.decide(loaded, "df"), match.Plan)


def test_unknown_and_later_keys_are_warned_about(load: Load) -> None:
    loaded = load(
        "tokn: x\npoll: {wait: 25}\ncron: []\n"
        "commands:\n  - prefix: free\n    queue: deploy\n    descripton: x\n    zzz: 1\n"
    )
    found = [warning.partition(", ")[2] for warning in loaded.warnings]
    assert found == [
        "line 1: unknown key tokn, did you mean token?",
        "line 2: poll is for a later version and has no effect",
        "line 3: cron is for a later version and has no effect",
        "line 6: queue is for a later version and has no effect",
        "line 7: unknown key descripton, did you mean description?",
        "line 8: unknown key zzz",
    ]
    assert isinstance(match.decide(loaded, "free"), match.Plan)


def test_wanting_signatures_means_that_nothing_runs(load: Load) -> None:
    loaded = load("signing: {mode: require}\nshortcuts:\n  - {short: a, cmd: b}\n")
    decision = match.decide(loaded, "a")
    assert isinstance(decision, match.DirectAnswer)
    assert "asks for signing" in decision.text
    assert load("signing: {mode: none}\n").distrust == ""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_others_can_write_decides_nothing(load: Load, mode: int) -> None:
    loaded = load(TOP + "shortcuts:\n  - {short: a, cmd: b}\n", mode=mode)
    decision = match.decide(loaded, "a")
    assert isinstance(decision, match.DirectAnswer)
    assert decision.text.startswith("nothing runs here: ")
    assert "can be written by others" in match.help_text(loaded)


def test_a_folder_others_can_write_counts_unless_sticky(load: Load, tmp_path: Path) -> None:
    load(TOP)
    tmp_path.chmod(0o777)
    assert "chmod go-w" in config.permission_problem(str(tmp_path / "skadi.yml"))
    tmp_path.chmod(0o1777)
    assert config.permission_problem(str(tmp_path / "skadi.yml")) == ""
    tmp_path.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(tmp_path / "skadi.yml", 65534, 65534)
        assert "belongs to another user" in config.permission_problem(str(tmp_path / "skadi.yml"))


def test_a_link_is_judged_by_what_it_leads_to(load: Load, tmp_path: Path) -> None:
    load(TOP, mode=0o666)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "skadi.yml").symlink_to(tmp_path / "skadi.yml")
    assert "written by others" in config.permission_problem(str(other / "skadi.yml"))


def test_a_distrusted_agent_starts_and_says_so(server: FakeServer, make_agent: Callable[..., AgentProcess]) -> None:
    agent = make_agent()
    agent.config.chmod(0o666)
    agent.start()
    jobs = [server.add("date"), server.add("help")]
    wait_until(lambda: len(server.reports) == 2)
    assert "nothing runs here" in server.reports[jobs[0]][1]["result"]
    assert server.reports[jobs[0]][0] == "fail"
    assert "Nothing runs here" in server.reports[jobs[1]][1]["result"]
    assert "nothing will run" in agent.log()


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("2d", 172800)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text, 0, 1e9) == value


def test_durations_and_sizes_as_people_write_them() -> None:
    assert [duration_text(value) for value in (0.5, 1, 90, 600, 3600, 3661)] == [
        "0.5s",
        "1s",
        "1m30s",
        "10m",
        "1h",
        "1h1m1s",
    ]
    assert [size(text, 0, 1 << 40) for text in ("5", "5B", "1K", "1KB", "1KiB", "2MiB")] == [
        5,
        5,
        1024,
        1024,
        1024,
        1 << 21,
    ]
