"""Starts the lane's private servers before Django's settings are read, and live servers for tests that use them.

LETSERVER_TEST_LANE chooses the lane: `sqlite` (the default) or `mariadb`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes.costs import Costs
from tests.lanes.lane import CALLING, MARIADB, PARTS, PARTS_OF, WAITING, WORKING, Lane, start_lane
from tests.lanes.live import GATEWAY, LiveServer
from tests.lanes.services import ROOT

# These do not depend on the database: only the SQLite lane runs them.
_DATABASE_FREE = (
    "tests/skadi/",
    "tests/up/",
    "tests/acceptance/",
    "tests/architecture/",
    "tests/watch/",
    "tests/cron/",
    "tests/devtools/",
    "tests/kernel/test_durations.py",
    "tests/jobs/test_argv.py",
    "tests/schedules/test_rules.py",
)
# These mostly wait for processes that they start: `make test` runs them in parallel with the others.
_WAITING = (
    "tests/skadi/",
    "tests/up/",
    "tests/acceptance/",
    "tests/clocks/",
    "tests/faults/",
    "tests/gateway/",
    "tests/browser/",
    "tests/devtools/",
    "tests/upgrade/",
)
_CALLING = "tests/api/"

# At import, because a folder's conftest.py, which may import models, is imported before any hook runs.
_LANE = start_lane()
_TOLD = pytest.StashKey[list[str]]()
_COSTS = Costs()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options with which `make test` runs a lane in parts and prints its summary."""
    parser.addoption("--lane-report", metavar="PATH", help="write counts, skip reasons and costs there, as JSON")
    parser.addoption("--part", choices=PARTS, help="only the tests of that part of the lane")


def pytest_unconfigure() -> None:
    """End the lane."""
    _LANE.close()


def pytest_report_header() -> str:
    """Name the lane."""
    return f"lane: {_LANE.name}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the files of another lane or part."""
    path = f"{collection_path.relative_to(ROOT).as_posix()}/" if collection_path.is_relative_to(ROOT) else ""
    if path.count("/") != 2:  # only folders of tests/
        return None
    part = config.getoption("part")
    elsewhere = (_LANE.name == MARIADB and path in _DATABASE_FREE) or (part and part != _part_of(path))
    return True if elsewhere else None


def _part_of(path: str) -> str:
    """Return the part of the lane that runs a folder of tests."""
    if path in _WAITING:
        return WAITING
    return CALLING if path == _CALLING and CALLING in PARTS_OF[_LANE.name] else WORKING


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that run only on the other lane."""
    for item in items:
        if item.nodeid.startswith(_DATABASE_FREE):
            item.add_marker(pytest.mark.sqlite_only)
    not_here = ("sqlite_only", "browser") if _LANE.name == MARIADB else ("mariadb_only",)
    elsewhere = {item for item in items if any(map(item.get_closest_marker, not_here))}
    items[:] = [item for item in items if item not in elsewhere]
    config.hook.pytest_deselected(items=list(elsewhere))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Add the time of the test and its fixtures to its file."""
    with _COSTS.measure(item.nodeid.partition("::")[0]):
        return (yield)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the lines of `tell`, and write the lane's report."""
    told = config.stash.get(_TOLD, [])
    if told:
        terminalreporter.section("what the tests tell")
        for line in told:
            terminalreporter.write_line(line)
    path = config.getoption("lane_report")
    if path:
        stats = terminalreporter.stats
        reasons = sorted({str(report.longrepr[2]) for report in stats.get("skipped", []) if report.longrepr})
        counts = {name: len(stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
        Path(path).write_text(json.dumps({**counts, "reasons": reasons, "files": _COSTS.files}), encoding="utf-8")


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Print a line after the run, because the output of a passed test is hidden."""
    return pytestconfig.stash.setdefault(_TOLD, []).append


@pytest.fixture(scope="session")
def lane() -> Lane:
    """The private servers of this run."""
    return _LANE


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hash the passwords of this process at the least cost."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["tests.hashing.QuickArgon2"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_read_once() -> Iterator[None]:
    """Share WhiteNoise's table of static files: each test client builds it again and would read 227 files."""
    from whitenoise.middleware import WhiteNoiseMiddleware

    read = WhiteNoiseMiddleware.add_files_from_finders
    table: dict[str, object] = {}

    def read_once(middleware: Any) -> None:
        if not table:
            read(middleware)
            table.update(middleware.files)
        middleware.files.update(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", read_once)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(lane: Lane) -> None:
    """Use a copy of the migrated template. SQLite uses a file, because memory has other locks and no WAL."""
    from django.db import connection

    data = lane.folder / "test"
    data.mkdir(mode=0o700)
    lane.migrated_database("test_letserver", data=data)
    sqlite = connection.vendor == "sqlite"
    connection.settings_dict["TEST"]["NAME"] = str(data / "letserver.sqlite3") if sqlite else "test_letserver"


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Use the existing database."""
    return True


@pytest.fixture(scope="module")
def module_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    """Give a context manager: rows made inside it stand for every test of the module, and are rolled back after it.

    Each test that is marked `django_db` then runs in a savepoint. Not for modules with `transaction=True`.
    """
    from django.db import transaction

    outer = transaction.atomic()
    # As with Django's TestCase.setUpTestData(): a durable block of the product may begin inside.
    outer._from_testcase = True  # type: ignore[attr-defined]
    with django_db_blocker.unblock():
        outer.__enter__()
    yield django_db_blocker.unblock
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        outer.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _empty_redis(lane: Lane) -> None:
    """Empty Redis before every test."""
    lane.redis.flushall()


@pytest.fixture(scope="session")
def _live_servers(lane: Lane) -> Iterator[Callable[[bool], LiveServer]]:
    servers: dict[bool, LiveServer] = {}

    def get(gateway: bool) -> LiveServer:
        if gateway not in servers:
            name = "live_on" if gateway else "live_off"
            servers[gateway] = LiveServer(lane, name, gateway=gateway)
        servers[gateway].start()
        return servers[gateway]

    yield get
    for server in servers.values():
        server.close()


@pytest.fixture
def live_on(_live_servers: Callable[[bool], LiveServer]) -> LiveServer:
    """The live server with the gateway; one per session, started again if a test killed it."""
    return _live_servers(True)


@pytest.fixture
def live_off(_live_servers: Callable[[bool], LiveServer]) -> LiveServer:
    """The live server without the gateway: Django REST framework answers every call."""
    return _live_servers(False)


@pytest.fixture
def live(request: pytest.FixtureRequest, _live_servers: Callable[[bool], LiveServer]) -> LiveServer:
    """The live server with the gateway; both in turn for tests marked `both_mounts` (tests/api/mounts.py)."""
    return _live_servers(getattr(request, "param", GATEWAY) == GATEWAY)


@pytest.fixture
def live_server_url(live_on: LiveServer) -> str:
    """The base URL of the live server with the gateway."""
    return live_on.base
