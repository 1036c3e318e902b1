"""Finds the files to read, and assigns each to a room."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from devtools.english.markup_text import markdown_paragraphs, script_paragraphs, template_paragraphs
from devtools.english.paragraphs import Sentence
from devtools.english.python_text import python_paragraphs

ROOMS = (
    "kernel",
    "accounts",
    "notifications",
    "agents",
    "jobs",
    "chat",
    "letserver",
    "skadi",
    "devtools",
    "tests",
    "docs",
    "benchmarks",
)
_READERS = {
    ".py": python_paragraphs,
    ".md": markdown_paragraphs,
    ".html": template_paragraphs,
    ".js": script_paragraphs,
    ".css": script_paragraphs,
}
_SKIPPED = ("static/vendor/", "README.zh-CN.md")


def project_sentences(root: Path) -> dict[str, list[Sentence]]:
    """Return the sentences of the files that git tracks, by room."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rooms: dict[str, list[Sentence]] = {room: [] for room in ROOMS}
    for name in sorted(filter(None, listed.split("\0"))):
        if not name.startswith(_SKIPPED) and (root / name).is_file():
            rooms[_room(name)].extend(_sentences(root, name))
    return rooms


def folder_sentences(folder: Path) -> dict[str, list[Sentence]]:
    """Return the sentences of every file below a folder, by the folder's name: another project as a yardstick."""
    rooms: dict[str, list[Sentence]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix in _READERS and path.is_file():
            rooms[folder.name].extend(_sentences(folder, path.relative_to(folder).as_posix()))
    return rooms


def _sentences(root: Path, name: str) -> Iterator[Sentence]:
    reader = _READERS.get(Path(name).suffix)
    if reader is None:
        return
    for paragraph in reader(name, (root / name).read_text(encoding="utf-8", errors="replace")):
        yield from paragraph.sentences()


def _room(name: str) -> str:
    """Return the room of a file: its top folder, for a template the app that it serves."""
    first, _, rest = name.partition("/")
    if first == "templates":
        first = rest.partition("/")[0]
    if first in ROOMS:
        return first
    return "docs" if name.endswith(".md") else "letserver"
