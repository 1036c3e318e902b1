"""Count the lines of the product, per room: `make lines`.

Counted are Python, templates and JavaScript of our own, blank lines and comments included. Tests, migrations,
translations, vendored files and developers' tools do not count. `templates/` and `static/` belong to all rooms.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PLACES = (
    "kernel",
    "accounts",
    "notifications",
    "agents",
    "jobs",
    "chat",
    "letserver",
    "skadi",
    "templates",
    "static",
)
_KINDS = {".py": "python", ".html": "templates", ".js": "js"}
_NOT_COUNTED = {"migrations", "vendor", "locale", "__pycache__"}


def count_lines(root: Path) -> dict[str, Counter[str]]:
    """Return the lines of each room or folder, by kind; `files` is the number of files."""
    return {place: _count(root / place) for place in _PLACES}


def _count(folder: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in folder.rglob("*"):
        kind = _KINDS.get(path.suffix)
        if kind and not _NOT_COUNTED.intersection(path.relative_to(folder).parts):
            counts["files"] += 1
            counts[kind] += len(path.read_text(encoding="utf-8").splitlines())
    return counts


def main() -> None:
    """Print the table."""
    columns = ("files", "python", "templates", "js")
    found = count_lines(_ROOT)
    found["total"] = sum(found.values(), Counter())
    print(f"{'':<14}", *(f"{column:>9}" for column in columns))
    for place, counts in found.items():
        print(f"{place:<14}", *(f"{counts[column]:>9}" for column in columns))


if __name__ == "__main__":
    main()
