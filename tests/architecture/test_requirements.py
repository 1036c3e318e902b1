"""Every package that a file imports is pinned: an environment that is older than the lock hides one that is not."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions

from tests.architecture.sources import ROOT, Source

_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==", re.MULTILINE)


def canonical(name: str) -> str:
    """Return the name as every index compares it: `Django_Redis` is `django-redis`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_package_is_pinned() -> None:
    locks = sorted(ROOT.glob("requirements*.txt"))
    pinned = {canonical(name) for lock in locks for name in _PINNED.findall(lock.read_text(encoding="utf-8"))}
    packages = packages_distributions()
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    files = [path for folder in folders if folder.name not in ("build", "data") for path in folder.rglob("*.py")]
    sources = [Source(path=path, tree=ast.parse(path.read_text(encoding="utf-8"))) for path in files]
    imports = {(module.split(".")[0], source.shown) for source in sources for module, _, _ in source.imports()}
    ours = {path.stem for path in ROOT.iterdir()} | {""}
    foreign = [(name, file) for name, file in sorted(imports) if name not in ours | sys.stdlib_module_names]
    assert len({name for name, _file in foreign}) > 20
    loose = [
        (name, file)
        for name, file in foreign
        if not {canonical(package) for package in packages.get(name, [])} & pinned
    ]
    assert loose == []
