"""`python -m devtools.english`: print the table, and exit with 1 if a room is above a limit.

python -m devtools.english --worst 20 --room jobs
python -m devtools.english --path .venv/lib/python3.11/site-packages/django
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devtools.english.report import count_room, table, worst
from devtools.english.sources import folder_sentences, project_sentences
from devtools.english.words import read_words


def main(arguments: list[str] | None = None) -> int:
    """Check the checkout in the current folder; return 1 if a room is above a limit, else 0."""
    parser = argparse.ArgumentParser(prog="python -m devtools.english", description="Check the project's English.")
    parser.add_argument("--room", action="append", metavar="ROOM", help="only this room; may be repeated")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="print the N sentences with the most reasons")
    parser.add_argument("--all", action="store_true", help="print every sentence that has a reason")
    parser.add_argument("--path", action="append", type=Path, metavar="DIR", help="measure this folder instead")
    options = parser.parse_args(arguments)

    if options.path:
        sentences = {room: found for path in options.path for room, found in folder_sentences(path).items()}
    else:
        sentences = project_sentences(Path.cwd())
    unknown = set(options.room or ()) - set(sentences)
    if unknown:
        parser.error(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(sentences)}")
    words = read_words()
    counts = [
        count_room(room, found, words) for room, found in sentences.items() if room in (options.room or sentences)
    ]

    for line in (*worst(counts, None if options.all else options.worst), *table(counts)):
        print(line)
    above = [count.room for count in counts if count.is_above]
    if above:
        print(f"Above the limit: {', '.join(above)}. Run `python -m devtools.english --room {above[0]} --worst 20`.")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
