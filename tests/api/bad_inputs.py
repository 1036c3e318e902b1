"""Requests with one error each. The test fills in `{agent}`, `{job}`, `{name}` and `{token}`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jobs.gateway.agent_calls import REPORT_BODY_LIMIT
from jobs.models import MESSAGE_LENGTH
from kernel.http.answers import BODY_LIMIT

UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One request and its expected status. `who`: `user`, `agent`, or `nobody` for no token."""

    name: str
    method: str
    path: str
    who: str = "user"
    body: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 400
    code: str = ""


# Calls with a body: (method, path, who, a valid body)
_BODIES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("POST", "/job/add", "user", {"message": "{name} date"}),
    ("POST", "/jobs", "user", {"agent": "{name}", "message": "date"}),
    ("POST", "/agents", "user", {"name": "another-one"}),
    ("PATCH", "/agents/{agent}", "user", {"remark": "x"}),
    ("POST", "/agent/job/add", "agent", {"message": "{name} date"}),
    ("PUT", "/agent/jobs/{job}/running", "agent", {"result": "x"}),
    ("PUT", "/agent/jobs/{job}/succeed", "agent", {"result": "x"}),
    ("PUT", "/agent/jobs/{job}/fail", "agent", {"result": "x"}),
)

_NOT_A_CLEAN_OBJECT: dict[str, bytes] = {
    "cut off": b'{"message": "x"',
    "a word": b"nul",
    "an array": b"[]",
    "a text": b'"x"',
    "a number": b"5",
    "null": b"null",
    "NaN": b'{"message": NaN}',
    "infinity": b'{"x": -Infinity}',
    "a number out of range": b'{"x": 1e999}',
    "a number of 5,000 digits": b'{"x": ' + b"9" * 5000 + b"}",
    "21 levels": b'{"x": ' + b"[" * 20 + b"]" * 20 + b"}",
    "30,000 levels": b"[" * 30_000,
    "30,000 levels of objects": b'{"a":' * 10_000,
    "bad UTF-8": b'{"message": "\xff\xfe"}',
    "overlong UTF-8": b'{"message": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"message": "\xed\xa0\x80"}',
    "UTF-16": '{"message": "x"}'.encode("utf-16"),
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"message": "x"}',
    "a lone surrogate": b'{"message": "\\ud800"}',
    "a lone surrogate in a field nobody reads": b'{"other": {"deep": ["\\udfff"]}}',
    "a lone surrogate in a name": b'{"\\ud800": 1}',
    "NUL": b'{"message": "a\\u0000b"}',
    "NUL in a name": b'{"a\\u0000": 1}',
    "a doubled name": b'{"message": "a", "message": "b"}',
    "something after the end": b'{"message": "a"} x',
    "single quotes": b"{'message': 'a'}",
    "a form": b"message=bar+date",
}

# Fields: call -> field -> invalid values
_TEXTLESS: tuple[Any, ...] = (5, 1.5, True, [], ["x"], {}, {"a": 1})
_NUMBERLESS: tuple[Any, ...] = ("5", 1.5, True, [], {})
_FIELDS: dict[tuple[str, str, str], dict[str, tuple[Any, ...]]] = {
    ("POST", "/jobs", "user"): {
        "agent": (*_TEXTLESS, None, "", "x" * 101),
        "message": (*_TEXTLESS, None, "", " \n\t", "x" * (MESSAGE_LENGTH + 1)),
        "wait_until": (
            *_NUMBERLESS,
            "soon",
            "",
            "2030-01-31T08:00:00",
            "2030-13-01T00:00:00Z",
            "2030-01-31T25:00:00Z",
            "2000-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-14:00",
            "0001-01-01T00:00:00+14:00",
        ),
        "ttl": (*_NUMBERLESS, 0, -1, 400 * 86_400 + 1, 10**19),
        "callback": (
            *_TEXTLESS,
            "off",
            "ftp://example.org/x",
            "javascript:alert(1)",
            "http://",
            "https:///path",
            "http://[::1",
            "http://example.org:99999/",
            "http://example.org:x/",
            "http://exa mple.org/",
            "//example.org/",
            "http://example.org/" + "x" * 250,
        ),
        "source": (*_TEXTLESS, "x" * 256),
    },
    ("POST", "/job/add", "user"): {
        "message": (*_TEXTLESS, None, "", "   ", "{name}", " {name} ", "{name} " + "x" * (MESSAGE_LENGTH + 1))
    },
    ("POST", "/agent/job/add", "agent"): {"message": (*_TEXTLESS, None, "", "{name}", "{name} " + "x" * 5000)},
    ("POST", "/agents", "user"): {
        "name": (*_TEXTLESS, None, "", "x", "x" * 51, "two words", " padded", "a\nb", "a\u200bb", "\u202etxt", "help"),
        "alias": (*_TEXTLESS, None, "y", "x" * 51, "two words", "ALL", "\u3000\u3000"),
        "remark": (*_TEXTLESS, None, "x" * 251),
    },
    ("PATCH", "/agents/{agent}", "user"): {
        "name": (*_TEXTLESS, None, "", "x", "tab\there", UNKNOWN_ID),
        "alias": (*_TEXTLESS, None, "y", "帮助"),
        "remark": (*_TEXTLESS, None, "x" * 251),
        "enabled": ("true", 1, 0, "", [], {}, None),
    },
    ("PUT", "/agent/jobs/{job}/fail", "agent"): {
        "result": _TEXTLESS,
        "exit_code": (*_NUMBERLESS, 2**31, -(2**31) - 1),
        "signal": (*_NUMBERLESS, -1, 256),
        "reason": (*_TEXTLESS, "x" * 65),
        "truncated": ("true", 1, 0, [], {}),
        "size_bytes": (*_NUMBERLESS, -1, 2**53 + 1),
    },
}

_NO_IDS = {
    "a word": "x",
    "capital letters": UNKNOWN_ID.upper().replace("0000", "ABCD"),
    "a blank at the end": "{known}%20",
    "a NUL at the end": "{known}%00",
    "no dashes": UNKNOWN_ID.replace("-", ""),
    "4,000 letters": "x" * 4000,
    "bad UTF-8": "%ff%fe",
    "Chinese": "%E5%82%BB%E7%93%9C",
    "an SQL quote": "%27%20OR%201=1--",
    "a wildcard": "%25",
    "nobody's": UNKNOWN_ID,
}

_QUERIES: dict[str, dict[str, tuple[str, ...]]] = {
    "/jobs": {
        "status": ("", "done", "SENT", "sent,failed", "sent&status=failed"),
        "created_after": ("", "yesterday", "2030-01-31", "2030-01-31T08:00:00", "0001-01-01T00:00:00%2B14:00"),
        "created_before": ("x", "%00", "2030-01-31T08:00:00Z&created_before=2031-01-31T08:00:00Z"),
        "limit": ("", "0", "101", "-1", "1.5", "x", "1e1", "%EF%BC%91", "1&limit=2", "9" * 5000),
        "cursor": ("", "x", "A" * 21, "A" * 23, "%00" * 22, "B" * 22, "%E5%82%BB", "x" * 10_000, "AAAA&cursor=AAAA"),
        "agent": ("%00", "a%00b", "{name}&agent={name}"),
        "source": ("%00", "a&source=b"),
        "other": ("%ff", "%zz", "%", "1" + "&x=1" * 1001),
    },
    "/jobs/{job}": {"wait": ("x", "", "-1", "1.5", "1&wait=2", "%EF%BC%91", "9" * 10, "%ff", "%00")},
    "/agent/job": {"wait": ("x", "", "-1", "1.5", "1&wait=2", "9" * 10, "%ff", "+1", "1%20")},
}

_METHODS = {
    "/status": ("user", ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/me": ("user", ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/job/add": ("user", ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")),
    "/jobs": ("user", ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "SEARCH")),
    "/jobs/{job}": ("user", ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/agents": ("user", ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/agents/{agent}": ("user", ("HEAD", "POST", "PUT", "OPTIONS")),
    "/agents/{agent}/token": ("user", ("HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/agent/job": ("agent", ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/agent/job/add": ("agent", ("HEAD", "GET", "PUT", "PATCH", "DELETE", "OPTIONS")),
    "/agent/jobs/{job}/succeed": ("agent", ("HEAD", "GET", "POST", "PATCH", "DELETE", "OPTIONS")),
}

_AUTHORIZATIONS = {
    "empty": "",
    "scheme only": "Bearer",
    "scheme and a blank": "Bearer ",
    "another scheme": "Basic Zm9vOmJhcg==",
    "no scheme": "{token}",
    "two tokens": "Bearer {token} {token}",
    "a comma": "Bearer {token}, Bearer {token}",
    "cut": "Bearer lsu_short",
    "a wrong checksum": "Bearer lsu_" + "0" * 36,
    "Latin-1": "Bearer \u00e9\u00e9\u00e9",
    "10,000 letters": "Bearer " + "x" * 10_000,
    "one letter too many": "Bearer {token}x",
}

_LIST_AGENT_UNKNOWN = ("nobody", "", UNKNOWN_ID, "%25", "_" * 5, "x" * 5000)


def corpus() -> list[Bad]:
    """Return all bad requests."""
    return [*_bodies(), *_fields(), *_ids(), *_queries(), *_methods(), *_headers(), *_lines(), *_unknown()]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}... ({len(text)})"


def _bodies() -> Iterator[Bad]:
    for method, path, who, good in _BODIES:
        for what, raw in _NOT_A_CLEAN_OBJECT.items():
            yield Bad(name=f"{method} {path}: {what}", method=method, path=path, who=who, raw=raw)
        report = path.startswith("/agent/jobs/")
        padding = "x" * ((REPORT_BODY_LIMIT if report else BODY_LIMIT) + 1)
        large = json.dumps(good | {"padding": padding}).encode()
        yield Bad(name=f"{method} {path}: too large", method=method, path=path, who=who, raw=large, status=413)


def _fields() -> Iterator[Bad]:
    good_of = {(method, path, who): good for method, path, who, good in _BODIES}
    for call, fields in _FIELDS.items():
        method, path, who = call
        for name, values in fields.items():
            for value in values:
                shown = f"{method} {path}: {name} = {_short(json.dumps(value))}"
                body = good_of[call] | {name: value}
                yield Bad(name=shown, method=method, path=path, who=who, body=body)
            required = name in good_of[call] and method == "POST"
            if required:
                body = {other: value for other, value in good_of[call].items() if other != name}
                yield Bad(name=f"{method} {path}: no {name}", method=method, path=path, who=who, body=body)
    both = {"agent": "{name}", "message": "x", "ttl": 5, "wait_until": "2030-01-31T08:00:00Z"}
    yield Bad(name="POST /jobs: ttl and wait_until", method="POST", path="/jobs", body=both)


def _ids() -> Iterator[Bad]:
    for what, text in _NO_IDS.items():
        job, agent = text.replace("{known}", "{job}"), text.replace("{known}", "{agent}")
        for method, path, who, body in (
            ("GET", f"/jobs/{job}", "user", None),
            ("PUT", f"/agent/jobs/{job}/running", "agent", {}),
            ("PUT", f"/agent/jobs/{job}/succeed", "agent", {}),
            ("GET", f"/agents/{agent}", "user", None),
            ("PATCH", f"/agents/{agent}", "user", {}),
            ("DELETE", f"/agents/{agent}", "user", None),
            ("POST", f"/agents/{agent}/token", "user", None),
        ):
            name = f"{method} {path[:13]}...{path[-13:]}: id is {what}"
            yield Bad(name=name, method=method, path=path, who=who, body=body, status=404)


def _queries() -> Iterator[Bad]:
    for path, parameters in _QUERIES.items():
        who = "agent" if path.startswith("/agent/") else "user"
        for name, values in parameters.items():
            for value in values:
                shown = f"GET {path}?{name}={_short(value)}"
                yield Bad(name=shown, method="GET", path=f"{path}?{name}={value}", who=who)
    for value in ("x", "", "1&wait=1", "%ff"):
        good = {"agent": "{name}", "message": "x"}
        yield Bad(name=f"POST /jobs?wait={value}", method="POST", path=f"/jobs?wait={value}", body=good)
    for value in ("2", "", "yes", "1&force=1", "%00"):
        yield Bad(name=f"DELETE ?force={value}", method="DELETE", path="/agents/{agent}?force=" + value)
    for value in _LIST_AGENT_UNKNOWN:
        status = 404 if value else 400
        yield Bad(name=f"GET /jobs?agent={_short(value)}", method="GET", path=f"/jobs?agent={value}", status=status)


def _methods() -> Iterator[Bad]:
    for path, (who, methods) in _METHODS.items():
        for method in methods:
            yield Bad(name=f"{method} {path}", method=method, path=path, who=who, status=405)


def _headers() -> Iterator[Bad]:
    calls = (("GET", "/agent/job"), ("POST", "/job/add"), ("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/me"))
    for method, path in calls:
        for what, value in _AUTHORIZATIONS.items():
            yield Bad(
                name=f"{method} {path}: authorization {what}",
                method=method,
                path=path,
                who="nobody",
                headers={"Authorization": value},
                code="InvalidToken",
            )
    good = {"agent": "{name}", "message": "x", "ttl": 60}
    for what, value in {
        "empty": "",
        "blank": "  ",
        "256 characters": "k" * 256,
        "10,000 characters": "k" * 10_000,
    }.items():
        yield Bad(
            name=f"Idempotency-Key {what}", method="POST", path="/jobs", body=good, headers={"Idempotency-Key": value}
        )


def _lines() -> Iterator[Bad]:
    for value in ("", "%20", "{name}", "{name}%20", "{name}%20x&msg={name}%20y", "{name}%20%00", "{name}%20a%00b"):
        yield Bad(name=f"GET /job/add?msg={value}", method="GET", path=f"/job/add?msg={value}")
    for value in ("{name}%20%ff", "{name}%20%zz", "{name}%20100%"):
        yield Bad(name=f"GET /job/add?msg={value}", method="GET", path=f"/job/add?msg={value}", code="InvalidRequest")
    yield Bad(name="GET /job/add without msg", method="GET", path="/job/add")
    long = "x" * (MESSAGE_LENGTH + 1)
    yield Bad(name="GET /job/add with a long msg", method="GET", path="/job/add?msg={name}%20" + long)
    for name, value in (
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "prefetch"),
        ("User-Agent", "facebookexternalhit/1.1"),
        ("User-Agent", "Mozilla/5.0 (compatible; Discordbot/2.0)"),
        ("User-Agent", "TelegramBot (like TwitterBot)"),
    ):
        yield Bad(
            name=f"GET /job/add by {name}: {value}", method="GET", path="/job/add?msg={name}%20x", headers={name: value}
        )
    yield Bad(name="GET /job/add, two tokens", method="GET", path="/job/add?msg={name}%20x&token=lsu_other")
    twice = "/job/add?msg={name}%20x&token={token}&token={token}"
    yield Bad(name="GET /job/add, a token twice", method="GET", path=twice, who="nobody", code="InvalidToken")


def _unknown() -> Iterator[Bad]:
    for message in ("nobody date", "% date", UNKNOWN_ID + " date", "' date", "x" * 300 + " date"):
        yield Bad(
            name=f"POST /job/add to {_short(message)}",
            method="POST",
            path="/job/add",
            body={"message": message},
            status=404,
        )
    for agent in ("nobody", "%", UNKNOWN_ID, "*"):
        body = {"agent": agent, "message": "x"}
        yield Bad(name=f"POST /jobs to {agent}", method="POST", path="/jobs", body=body, status=404)
    for path in (
        "/nope",
        "/jobs/",
        "/agents/{agent}/nope",
        "/agent",
        "/job",
        "/job/add%00",
        "/%ff",
        "/agent/jobs/{job}/",
        "/JOBS",
    ):
        yield Bad(name=f"GET {path}", method="GET", path=path, status=404)
