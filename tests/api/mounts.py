"""The two mounts of the API: behind the gateway, and in Django alone with LETSERVER_GATEWAY=off.

One handler answers a hot call on both mounts. Tests use the gateway; those that show the contract of hot calls run
on both mounts, on the SQLite lane.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.contract import operation_of
from tests.lanes.live import GATEWAY, NO_GATEWAY

_ONCE = pytest.mark.sqlite_only

both_mounts = pytest.mark.parametrize("live", [GATEWAY, pytest.param(NO_GATEWAY, marks=_ONCE)], indirect=True)


def on_its_mounts(value: object, *, name: str, method: str, path: str) -> list[Any]:
    """Return parameters (mount, value) for a call: both mounts if the gateway answers it itself."""
    found = [pytest.param(GATEWAY, value, id=name)]
    if (operation_of(method, path) or {}).get("x-gateway"):
        found.append(pytest.param(NO_GATEWAY, value, id=f"{name}, {NO_GATEWAY}", marks=_ONCE))
    return found
