"""`make trace`: print files, functions and calls of each row; with `--files`, the files in the order of first entry."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import devtools.trace
from devtools.trace.calls import OUTBOX_TABLE, Calls
from devtools.trace.product import private_redis, running, set_up
from devtools.trace.recorder import Function, Recorder, entered_in_each


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m devtools.trace",
        description=devtools.trace.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--files", action="store_true", help="list the files of each call, with their functions")
    parser.add_argument("--runs", type=int, default=5, help="how many runs are compared (default: 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="letserver-trace-") as name:
        folder = Path(name)
        redis_folder = folder / "redis"
        redis_folder.mkdir(mode=0o700)
        with private_redis(redis_folder) as redis_url:
            user_token, agent_token = set_up(folder, redis_url)
            found = asyncio.run(_measure(user_token, agent_token, runs=arguments.runs))
    print(f"{'call':<30} {'files':>5} {'functions':>9} {'calls':>5}")
    for name, functions in found.items():
        files = Counter(function.path for function in functions)
        print(f"{name:<30} {len(files):>5} {len(functions):>9} {functions.total():>5}")
        if arguments.files:
            print(*(f"    {path} ({count})" for path, count in files.items()), sep="\n")
    sys.stdout.flush()


async def _measure(user_token: str, agent_token: str, *, runs: int) -> dict[str, Counter[Function]]:
    recorder = Recorder(watched_table=OUTBOX_TABLE)
    recorder.install()
    async with running() as client:
        calls = Calls(client, user_token=user_token, agent_token=agent_token)
        await calls.begin()
        return {row.name: entered_in_each(await calls.measure(row, recorder, runs=runs)) for row in calls.rows()}


if __name__ == "__main__":
    main()
