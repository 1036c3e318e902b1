"""Check every pinned package against a list of advisories, and every licence against those allowed: `make audit`.

The list is kept in the repository (`advisories.json`), because a database of advisories cannot be reached from every
machine. It holds what was entered by hand until the day it names, so the output tells its age. Where a database can be
reached, `pip-audit --disable-pip --require-hashes -r requirements.txt` knows more.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
_REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-mysql.txt")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_OLD_DAYS = 90

# The words of a package -> the licence's SPDX name.
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "DFSG approved": "DFSG",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "ISC License (ISCL)": "ISC",
    "LGPLv3": "LGPL-3.0-only",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
ALLOWED = frozenset(
    ("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "DFSG", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0")
)
# Of these we are a user, changing nothing of them. Any other copyleft licence is a decision to make.
ALLOWED_BY_NAME = {"python-crontab": "LGPL-3.0-only", "mysqlclient": "GPL-2.0-or-later"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One weakness of one package. Versions below `fixed` have it; all have it where `fixed` is empty."""

    package: str
    fixed: str
    ids: tuple[str, ...]
    about: str

    def concerns(self, version: str) -> bool:
        """Tell whether that version has the weakness."""
        return not self.fixed or Version(version) < Version(self.fixed)


def pinned(root: Path = ROOT) -> dict[str, set[str]]:
    """Return the versions of each package in the files of requirements, by its normalized name."""
    found: dict[str, set[str]] = {}
    for name in _REQUIREMENTS:
        for package, version in _PIN.findall((root / name).read_text(encoding="utf-8")):
            found.setdefault(canonicalize_name(package), set()).add(version)
    return found


def read_advisories() -> tuple[dt.date, list[Advisory]]:
    """Return the day on which the list was last written, and the list."""
    said = json.loads((ROOT / "devtools" / "advisories.json").read_text(encoding="utf-8"))
    rows = [Advisory(**{**row, "ids": tuple(row["ids"])}) for row in said["advisories"]]
    return dt.date.fromisoformat(said["written"]), rows


def weaknesses(pins: Mapping[str, set[str]], advisories: list[Advisory]) -> list[str]:
    """Return a line for each pinned version that an advisory concerns."""
    return [
        f"{advisory.package} {version}: {', '.join(advisory.ids)}: {advisory.about} Fixed in {advisory.fixed or '-'}."
        for advisory in advisories
        for version in sorted(pins.get(advisory.package, ()))
        if advisory.concerns(version)
    ]


def _field(said: metadata.PackageMetadata, name: str) -> str:
    return said[name].strip() if name in said else ""


def licence_of(distribution: metadata.Distribution) -> str:
    """Return the licence in SPDX names as far as the package says it, "" where it says none."""
    said = distribution.metadata
    expression = _field(said, "License-Expression")
    if expression:
        return expression
    classifiers = [
        line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    names = [name for name in classifiers if name != "OSI Approved"] or [_field(said, "License")]
    return " AND ".join(_SPDX.get(name, name) for name in names)


def is_allowed(package: str, licence: str) -> bool:
    """Tell whether every licence of the expression is allowed, one of each alternative being enough."""
    if ALLOWED_BY_NAME.get(package) == licence:
        return True
    return bool(licence) and all(
        any(choice.strip("() ") in ALLOWED for choice in part.split(" OR ")) for part in licence.split(" AND ")
    )


def licences(pins: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield each pinned package that is installed with its licence."""
    for distribution in sorted(metadata.distributions(), key=lambda found: canonicalize_name(found.name)):
        name = canonicalize_name(distribution.name)
        if name in pins:
            yield name, licence_of(distribution)


def main() -> int:
    """Print licences and weaknesses; return 1 if there is anything to do."""
    pins = pinned()
    unknown = []
    print("Licences")
    for name, licence in licences(pins):
        print(f"  {name:32} {licence or '?'}")
        if not is_allowed(name, licence):
            unknown.append(f"{name}: {licence or 'no licence said'}")
    written, advisories = read_advisories()
    age = (dt.datetime.now(dt.UTC).date() - written).days
    found = weaknesses(pins, advisories)
    print(f"\nAdvisories: {len(advisories)}, written on {written}, {age} days ago; {len(pins)} packages pinned")
    if age > _OLD_DAYS:
        print(f"  The list is older than {_OLD_DAYS} days: look for newer advisories.")
    for line in found:
        print(f"  ✗ {line}")
    for line in unknown:
        print(f"  ✗ licence to decide on: {line}")
    if not found and not unknown:
        print("  ✓ No pinned package is in the list, every licence is allowed.")
    return 1 if found or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
