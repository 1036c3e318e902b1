"""The command that the real agents run: `python -I -S command.py RUNS_FILE AGENT SECONDS WORDS...`.

Writes its start and its end to the file, each line fsynced before it continues, and exits with 0.
"""

import json
import os
import sys
import time

_FILE, _AGENT, _SECONDS = sys.argv[1:4]


def _note(what: str) -> None:
    line = {"t": time.monotonic(), "do": what, "agent": _AGENT, "id": os.environ["SKADI_JOB_ID"], "pid": os.getpid()}
    descriptor = os.open(_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, json.dumps(line).encode() + b"\n")
    os.fsync(descriptor)
    os.close(descriptor)


_note("started")
time.sleep(float(_SECONDS))
print("did", *sys.argv[4:])
_note("ended")
