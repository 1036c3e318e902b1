"""schemathesis calls every operation as docs/openapi.yaml describes it, and otherwise, on a live server."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator

from tests.api.contract import operation_of, schema
from tests.api.people import Live, Person
from tests.lanes.lane import Lane
from tests.lanes.live import LiveServer
from tests.lanes.services import ROOT

pytestmark = [pytest.mark.sqlite_only, pytest.mark.timeout(900)]

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
    "unsupported_method",
)
_CALLERS = {
    "owner": ["--exclude-path-regex", "^/(chat|coyotes|sys|agent)/"],
    "agent": ["--include-path-regex", "^/(agent|coyotes|state)(/|$)"],
    "nobody": [],
}
_FEWEST_CASES = 1000
_EMPTY_COUNTS_AS_NOT_SENT = frozenset({"source", "color", "running"})


@pytest.fixture(scope="module")
def server(lane: Lane) -> Iterator[LiveServer]:
    """A server of its own, because the calls leave rows."""
    server = LiveServer(lane, "fuzzed", gateway=True)
    yield server
    server.close()


@pytest.mark.long
@pytest.mark.parametrize("caller", list(_CALLERS))
def test_server_keeps_to_its_schema(
    caller: str,
    server: LiveServer,
    live_people_of: Callable[[Live], dict[str, Person]],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    token = _token_of(caller, server, live_people_of(Live(server))["alice"])
    cases, problems, reasons = 0, [], Counter[str]()
    for label, case, interaction, failed in _calls(server, token, tmp_path / "calls.ndjson", _CALLERS[caller]):
        cases += 1
        for check in failed:
            answer = interaction.get("response")
            status, said = (answer["status_code"], _message(answer)) if answer else (None, "no answer")
            match check:
                case "positive_data_acceptance" if not _has_valid_headers(interaction["request"]):
                    reasons["(not valid: the tool sent a header that the schema refuses)"] += 1
                case "positive_data_acceptance" if reason := _documented(said):
                    reasons[reason] += 1
                case "negative_data_rejection" if status == 413:
                    reasons["(413)"] += 1
                case "negative_data_rejection" if _is_valid_without_empty_fields(interaction["request"], case):
                    reasons["(an empty field of the original's calls)"] += 1
                case _:
                    problems.append(f"{label} {interaction['request']['uri']}: {check}, {status} {said}")
    tell(f"{caller}: {cases} cases, {sum(reasons.values())} refused or taken for a documented reason")
    for reason, count in reasons.most_common():
        tell(f"  {count:5} {reason}")
    assert cases >= _FEWEST_CASES
    assert not problems, "\n".join(sorted(set(problems)))


def test_every_documented_reason_is_an_error_of_the_product() -> None:
    text = (ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    entries = re.findall(r'^msgid ((?:".*"\n)+)', text, re.MULTILINE)
    sentences = [re.sub(r"%\(\w+\)s", "…", "".join(map(json.loads, entry.splitlines()))) for entry in entries]
    known = [sentence for sentence in sentences if sentence.strip("…")]
    for reason in _reasons():
        is_known = any(_pattern(reason).fullmatch(one) or _pattern(one).fullmatch(reason) for one in known)
        assert is_known, reason


def _token_of(caller: str, server: LiveServer, alice: Person) -> str | None:
    if caller == "agent":
        status, agent, _headers = server.call("POST", "/agents", {"name": "fuzzed"}, token=alice.full)
        assert status == 201, agent
        return str(agent["token"])
    return alice.full if caller == "owner" else None


def _calls(
    server: LiveServer, token: str | None, report: Path, selection: list[str]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], list[str]]]:
    """Run schemathesis; yield for each call its operation, its case, request and answer, and the checks that failed."""
    command = [
        str(Path(sys.executable).with_name("st")),
        *("--config-file", str(ROOT / "tests" / "api" / "fuzz.toml")),
        *("run", f"{server.base}/api/schema", "--url", server.base, "--phases", "coverage,fuzzing"),
        *("--max-examples", "2", "--seed", "1", "--no-shrink", "--continue-on-failure", "--request-timeout", "20"),
        *("--checks", ",".join(_CHECKS), "--output-sanitize", "false"),
        *("--report", "ndjson", "--report-ndjson-path", str(report)),
        *(["--header", f"Authorization: Bearer {token}"] if token else []),
        *selection,
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    for line in report.read_text(encoding="utf-8").splitlines():
        recorded = json.loads(line).get("ScenarioFinished", {}).get("recorder")
        for case_id, checks in recorded["checks"].items() if recorded else ():
            failed = [check["name"] for check in checks if check["status"] != "success"]
            yield recorded["label"], recorded["cases"][case_id]["value"], recorded["interactions"][case_id], failed


def _reasons() -> list[str]:
    """Return the errors of "Rules beyond the schema" in docs/api.md."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.split("## Rules beyond the schema\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [reason for row in rows for reason in re.findall(r"`([^`]+)`", row.split(" | ")[1])]


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, sentence.split("…"))), re.DOTALL)


def _documented(message: str) -> str | None:
    return next((reason for reason in _reasons() if _pattern(reason).fullmatch(message)), None)


def _message(answer: dict[str, Any]) -> str:
    content = answer.get("content")
    raw = base64.b64decode(content["$base64"]) if isinstance(content, dict) else (content or "").encode()
    try:
        return str(json.loads(raw).get("message", raw))
    except ValueError:
        return repr(raw)


def _has_valid_headers(request: dict[str, Any]) -> bool:
    operation = operation_of(request["method"], urlsplit(request["uri"]).path) or {}
    sent = {name.lower(): values[0] for name, values in request["headers"].items()}
    rules = [
        rule for rule in operation.get("parameters", ()) if rule["in"] == "header" and rule["name"].lower() in sent
    ]
    return all(Draft202012Validator(rule["schema"]).is_valid(sent[rule["name"].lower()]) for rule in rules)


def _is_valid_without_empty_fields(request: dict[str, Any], case: dict[str, Any]) -> bool:
    operation, body = operation_of(request["method"], case["path"]), case.get("body")
    if operation is None or not isinstance(body, dict):
        return False
    kept = {name: value for name, value in body.items() if value or name not in _EMPTY_COUNTS_AS_NOT_SENT}
    rule = operation["requestBody"]["content"]["application/json"]["schema"]
    whole = {**rule, "components": schema()["components"]}
    return kept != body and Draft202012Validator(whole).is_valid(kept)
