"""The checker finds every planted defect, and no violation in clean runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.faults import defects
from tests.faults.invariants import Limits, Violation, check
from tests.faults.simulation import LEASE_SECONDS, LONGEST_STEP_SECONDS, SWEEP_SECONDS, Server, Simulation

_LIMITS = Limits(lease=LEASE_SECONDS, sweep=SWEEP_SECONDS + LONGEST_STEP_SECONDS, overlap=0)
# A defect needs enough steps to show; clean runs are shorter and repeated twenty times: half of them on each
# database, and all on both among the long tests.
_STEPS, _CLEAN_STEPS = 40, 25
_CLEAN_RUNS = 20
_SEEDS = [
    *(pytest.param(seed, marks=pytest.mark.sqlite_only) for seed in range(0, _CLEAN_RUNS, 2)),
    *(pytest.param(seed, marks=pytest.mark.mariadb_only) for seed in range(1, _CLEAN_RUNS, 2)),
    *(pytest.param(seed, marks=pytest.mark.long, id=f"{seed}, long") for seed in range(_CLEAN_RUNS)),
]


@pytest.fixture(autouse=True)
def _short_lease(settings: pytest.FixtureRequest) -> None:
    settings.LEASE_SECONDS = LEASE_SECONDS  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def found(tell: Callable[[str], None]) -> Iterator[list[str]]:
    """The names of the defects that were found; the number is printed after the run."""
    names: list[str] = []
    yield names
    tell(f"planted defects found: {len(names)} of {len(defects.PLANTED)}")


@pytest.fixture(scope="module")
def clean(tell: Callable[[str], None]) -> Iterator[list[int]]:
    """The seeds of the clean runs without violations."""
    seeds: list[int] = []
    yield seeds
    tell(f"clean runs without a violation on this database: {len(seeds)}")


def _check_run(folder: Path, server: Server, seed: int, steps: int = _STEPS) -> list[Violation]:
    simulation = Simulation(folder, server, seed)
    simulation.run(steps)
    return check(folder, connection, limits=_LIMITS, now=simulation.now)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", _SEEDS)
def test_a_clean_run_has_no_violation(tmp_path: Path, seed: int, clean: list[int]) -> None:
    assert [str(violation) for violation in _check_run(tmp_path, Server(), seed, _CLEAN_STEPS)] == []
    clean.append(seed)


@pytest.mark.django_db
@pytest.mark.parametrize("defect", defects.PLANTED, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_found(tmp_path: Path, defect: type[Server], found: list[str]) -> None:
    violations = _check_run(tmp_path, defect(), 1)
    print(defect.__name__, *violations[:6], sep="\n   ")
    assert defects.PLANTED[defect] in {violation.invariant for violation in violations}
    found.append(defect.__name__)
