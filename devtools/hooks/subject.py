"""Checks the subject of a commit message: `room: Verb what.`, imperative, at most 72 characters.

Only the standard library, because git runs it with the machine's Python. Subjects that git writes itself pass.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_LONGEST = 72
_FORM = re.compile(r"[a-z0-9_./-]+(?:, [a-z0-9_./-]+)*: (?P<verb>\S+) \S.*")
_BY_GIT = re.compile(r'Merge |Revert "|Reapply "|(?:fixup|squash|amend)! ')
_VERBS = Path(__file__).with_name("verbs.txt")
_EXAMPLE = "jobs: Refuse reports from an expired lease."


def find_fault(subject: str) -> str | None:
    """Return what is wrong with a subject, None if nothing is."""
    if _BY_GIT.match(subject):
        return None
    form = _FORM.fullmatch(subject)
    if form is None:
        return "it does not have the form 'room: Verb what.' (room in lower case, a colon, a space)"
    if form["verb"] not in _VERBS.read_text(encoding="utf-8").split():
        return (
            f"'{form['verb']}' is not a verb of devtools/hooks/verbs.txt. Begin with a capitalized verb in the "
            "imperative: Add, Fix, Refuse. If yours is one, add it to the file in the same commit"
        )
    if len(subject) > _LONGEST:
        return f"it has {len(subject)} characters; at most {_LONGEST} are allowed"
    return None


def main() -> int:
    """Check the message file that git passes; return 1 to refuse the commit."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    subject = next((line.rstrip() for line in lines if line.strip() and not line.startswith("#")), "")
    fault = find_fault(subject) if subject else None  # git itself refuses an empty message
    if fault is None:
        return 0
    print(f"Commit refused: {fault}.\n  yours:   {subject}\n  example: {_EXAMPLE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
