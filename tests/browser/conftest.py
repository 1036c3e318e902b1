"""The console in a real browser: a folder of its own, because it waits for other programs most of the time."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that renews the pictures of the documentation."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots anew")
