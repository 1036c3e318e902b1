"""Wall clocks that are wrong in one process: a small library, compiled here and preloaded into it."""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("shifted.c")


@functools.cache
def _library() -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "the clock matrix needs a C compiler (cc)"
    library = Path(tempfile.mkdtemp(prefix="letserver-clock-")) / "shifted.so"
    done = subprocess.run(
        [compiler, "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return library


class ShiftedClock:
    """The wall clock of one process and its children, right until `set`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(struct.pack("=qq", 0, 0))
        self.environment = {"LD_PRELOAD": str(_library()), "SHIFTED_CLOCK": str(file)}

    def set(self, seconds: float) -> None:
        """Shift it by so much; 0 sets it right."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", round(seconds * 1e9)))

    @property
    def answers(self) -> int:
        """Return how many wrong answers the process has got so far."""
        return int(struct.unpack("=qq", self._file.read_bytes())[1])
