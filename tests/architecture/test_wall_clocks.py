"""No wall clock of a process decides: each place that reads one is listed, with the reason why it does not matter."""

from __future__ import annotations

import ast
import re

from tests.architecture.sources import product

_READS = re.compile(
    r"(time\.)?(time|time_ns)\(\)|(dt\.|datetime\.)*datetime\.(now|utcnow|today)\(.*\)|(dt\.|datetime\.)*date\.today\(\)"
    r"|timezone\.(now|localdate)\(\)"
)
_DO_NOT_MATTER = {
    "kernel/clock.py": "the host's clock before the first answer of the database; and the skew that is measured",
    "accounts/console.py": "shown: when a locked-out person may try again",
    "jobs/coyotes/api.py": "shown: since when this process runs",
    "jobs/schedules/cron/schedule.py": "a default of tests and previews: whether an expression has a run at all",
    "letserver/bootstrap.py": "shown: how long an installation took; no database exists yet",
    "letserver/templatetags/console.py": "shown: how long ago something was",
    "letserver/up/children.py": "shown: a line in a log",
    "skadi/active_jobs.py": "noted in the journal, never compared",
    "skadi/done.py": "forgets ids after 45 days, which is far beyond any lease",
    "skadi/journal.py": "noted in the journal, never compared",
    "skadi/report_writer.py": "the age of a report, kept for seven days, on this host alone",
    "skadi/reporter.py": "the age of a report, kept for seven days, on this host alone",
    "skadi/shim.py": "noted in the journal, never compared",
    "skadi/spool.py": "the age of a spool file, kept for days, on this host alone",
}


def test_wall_clocks_are_read_only_where_it_does_not_matter() -> None:
    found: dict[str, list[int]] = {}
    for source in product():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and _READS.fullmatch(ast.unparse(node)):
                found.setdefault(source.shown, []).append(node.lineno)
    assert sorted(found) == sorted(_DO_NOT_MATTER), found


def test_celery_gets_no_time_to_compare() -> None:
    """`expires`, `eta` and `countdown` are stamped by one host and compared by another."""
    found = [
        f"{source.shown}:{node.lineno}"
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("apply_async", "send_task", "retry", "signature", "s")
        if any(keyword.arg in ("expires", "eta", "countdown") for keyword in node.keywords)
    ]
    assert found == []
