"""The environment is built by any Python that will do; one that will not gets one sentence."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from pathlib import Path

import pytest

from letserver import bootstrap
from tests.lanes.services import ROOT
from tests.up.instance import clean_environment

_OLD = "import sys; sys.version_info = (3, 8, 0, 'final', 0)"
_WITHOUT_ENSUREPIP = "import sys; sys.modules['ensurepip'] = None"


def pretend(folder: Path, name: str, preparation: str) -> Path:
    """Make an interpreter that runs `preparation` first: a machine's Python as we need it for a test."""
    script = folder / f"{name}-prepared.py"
    script.write_text(
        f"{preparation}\nimport runpy\nsys.argv = sys.argv[2:]\nrunpy.run_path(sys.argv[0], None, '__main__')\n"
    )
    interpreter = folder / name
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    interpreter.chmod(0o755)
    return interpreter


def make_up(python: str, **environment: str) -> str:
    """Run `make up` that must refuse; return what it says."""
    done = subprocess.run(
        ["make", "up", f"PYTHON={python}"],
        cwd=ROOT,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "SyntaxError" not in done.stderr
    return done.stdout


def old_pythons() -> list[str]:
    """Return the old interpreters on this machine, if any."""
    homes = [os.path.expanduser("~/.pyenv/versions/3.*/bin/python3.*"), "/usr/bin/python3.*"]
    found = {path for pattern in homes for path in glob.glob(pattern)}
    versions = {path: bootstrap.version_of(path) for path in found if not path.endswith("-config")}
    return sorted(path for path, version in versions.items() if version and (3, 6) <= version < bootstrap.OLDEST)


def test_python_too_old_gets_one_sentence(tmp_path: Path) -> None:
    for python in [str(pretend(tmp_path, "python-old", _OLD)), *old_pythons()]:
        said = make_up(python, LETSERVER_DATA=str(tmp_path / "data"))
        assert "LetServer needs Python 3.11 or newer" in said, python
        assert "需要 Python 3.11" in said
        assert not (tmp_path / "data").exists()


def test_newer_python_is_found_by_its_versioned_name(tmp_path: Path) -> None:
    old = pretend(tmp_path, "python3", _OLD)
    (tmp_path / "python3.12").write_text("#!/bin/sh\nexit 127\n")  # as a version manager's empty shim
    (tmp_path / "python3.12").chmod(0o755)
    (tmp_path / "python3.11").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python3.11").chmod(0o755)
    done = subprocess.run(
        [str(old), "-I", str(ROOT / "letserver" / "bootstrap.py"), "base", "-c", "print('it runs')"],
        env=clean_environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "it runs" in done.stdout, done.stdout + done.stderr


def test_python_without_ensurepip_names_the_package(tmp_path: Path) -> None:
    python = pretend(tmp_path, "python-slim", _WITHOUT_ENSUREPIP)
    said = make_up(str(python), LETSERVER_VENV=str(tmp_path / "venv"), LETSERVER_DATA=str(tmp_path / "data"))
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert f"apt-get install {package}" in said
    assert not (tmp_path / "data").exists()


def test_half_built_environment_is_rebuilt(tmp_path: Path) -> None:
    half = tmp_path / "venv"
    (half / "lib").mkdir(parents=True)
    (half / "lib" / "rubbish.py").touch()
    (half / bootstrap.BUILDING).touch()
    bootstrap.make_environment(str(half), python_matters=False)
    assert not (half / "lib" / "rubbish.py").exists()
    assert not (half / bootstrap.BUILDING).exists()
    assert bootstrap.version_of(bootstrap.environment_python(str(half))) == sys.version_info[:2]


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(bootstrap.Refusal, match="not a virtual environment"):
        bootstrap.make_environment(str(tmp_path), python_matters=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
