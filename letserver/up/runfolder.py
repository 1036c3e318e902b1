"""The folder for the socket of the private Redis: its path has at most 107 bytes, even with a deep data folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from letserver.embedded import usable_for_socket

_NOTE = "elsewhere"


def redis_folders(data: Path, stack: ExitStack) -> list[Path]:
    """Return folders to try in turn, each for this user only.

    The first is in the data folder. Where that takes no socket, a short one is made in XDG_RUNTIME_DIR or the
    temporary folder; it is removed at the end, or at the next start after a kill -9, hence the note of its name.
    """
    inside = data / "run"
    note = inside / _NOTE
    if note.exists():
        _remove(Path(note.read_text(encoding="utf-8").strip()))
        note.unlink()
    if usable_for_socket(inside):
        return [inside]
    made = []
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if parent and os.access(parent, os.W_OK):
            folder = Path(tempfile.mkdtemp(prefix="letserver-", dir=parent))
            if usable_for_socket(folder):
                note.write_text(f"{folder}\n", encoding="utf-8")
                stack.callback(note.unlink, missing_ok=True)
                stack.callback(_remove, folder)
                made.append(folder)
                break
            folder.rmdir()
    return [*made, inside]


def _remove(folder: Path) -> None:
    """Remove a folder that an earlier call made, and nothing that merely bears the note's words."""
    if folder.name.startswith("letserver-") and folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
