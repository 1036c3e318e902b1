"""The console in a real browser. It is a folder of its own, because it mostly waits for other programs."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the pictures of the documentation."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots anew")
