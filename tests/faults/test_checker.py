"""The checker finds what it must find, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from tests.faults import defects
from tests.faults.desk import LEASE_SECONDS, Desk, Server
from tests.faults.invariants import Limits, Violation, check

_LIMITS = Limits(lease=LEASE_SECONDS, overlap=0)
_STEPS = 60


@pytest.fixture(autouse=True)
def _short_lease(settings: pytest.FixtureRequest) -> None:
    settings.LEASE_SECONDS = LEASE_SECONDS  # type: ignore[attr-defined]


def _judge(folder: Path, server: Server, seed: int) -> list[Violation]:
    desk = Desk(folder, server, seed)
    desk.run(_STEPS)
    return check(folder, connection, limits=_LIMITS, now=desk.now)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(20))
def test_a_clean_run_raises_nothing(tmp_path: Path, seed: int) -> None:
    assert [str(violation) for violation in _judge(tmp_path, Server(), seed)] == []


@pytest.mark.django_db
@pytest.mark.parametrize("defect", defects.PLANTED, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_found(tmp_path: Path, defect: type[Server]) -> None:
    violations = _judge(tmp_path, defect(), 1)
    print(defect.__name__, *violations[:6], sep="\n   ")
    assert defects.PLANTED[defect] in {violation.invariant for violation in violations}
