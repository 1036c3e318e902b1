"""The journals of one run: JSON lines in one folder, one file per writer, timed by the monotonic clock of this host."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class Journal:
    """One file. `note` may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def note(self, do: str, **what: Any) -> float:
        """Write a line; return its time."""
        with self._lock:
            now = time.monotonic()
            self._file.write(json.dumps({"t": now, "do": do, **what}, ensure_ascii=False) + "\n")
        return now

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_lines(folder: Path, pattern: str) -> list[dict[str, Any]]:
    """Return the lines of the files whose name matches, ordered by time. A line cut off by a kill is skipped."""
    lines = []
    for path in folder.glob(pattern):
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return sorted(lines, key=lambda line: float(line["t"]))
