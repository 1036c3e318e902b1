"""The product's own Python files, parsed."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LAYERS = ("kernel", "accounts", "notifications", "agents", "jobs", "chat", "letserver")
"""From the ground up: imports go to the left only."""

APART = "skadi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file."""

    path: Path
    tree: ast.Module

    @property
    def app(self) -> str:
        """The top folder of the file."""
        return self.path.relative_to(ROOT).parts[0]

    @property
    def shown(self) -> str:
        """The path for a message."""
        return str(self.path.relative_to(ROOT))

    def imports(self) -> Iterator[tuple[str, list[str], int]]:
        """Give (module, names, line) of every import, also those inside of functions and under TYPE_CHECKING."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name, [], node.lineno
            elif isinstance(node, ast.ImportFrom):
                yield node.module or "", [alias.name for alias in node.names], node.lineno


@functools.cache
def product() -> tuple[Source, ...]:
    """Every file of every layer and of the agent."""
    folders = [folder for name in (*LAYERS, APART) if (folder := ROOT / name).is_dir()]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return tuple(Source(path=path, tree=ast.parse(path.read_text(encoding="utf-8"))) for path in files)
