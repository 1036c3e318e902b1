"""Small disks in memory, and read-only disks."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[None]:
    """Mount a small disk of memory there."""
    folder.mkdir(mode=0o700)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", str(folder))
    try:
        yield
    finally:
        # Lazily, because a killed process may not have ended yet.
        _run("umount", "--lazy", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Refuse opening files for writing and renames in a folder; open files stay open.

    It mounts over the folder, because the kernel refuses to remount a disk with a file open for writing.
    """
    _run("mount", "--bind", str(folder), str(folder))
    try:
        _run("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def why_no_disk() -> str:
    """Return why no disk can be mounted on this machine, or ""."""
    if os.geteuid() != 0:
        return "a small disk is mounted by root only"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder, "probe"), megabytes=1):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "no disk can be mounted here"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
