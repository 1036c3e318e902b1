"""Loaded by the schemathesis that test_schema_fuzz.py starts: no generated call is held for long."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: dict[str, Any]) -> None:
    """Shorten a valid `?wait=`, because 55 seconds tell no more than one."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isascii() and wait.isdigit() and 1 < int(wait) < 10**9:
        case.query["wait"] = "1"
