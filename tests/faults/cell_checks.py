"""Checks of single cells beyond the invariants: each returns violations and adds remarks for the table."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from tests.faults.injections import Scene
from tests.faults.journal import read_lines
from tests.faults.product import OLD_AGENTS

_ENDS = {"succeed": "succeeded", "fail": "failed"}
# Allowed answers to a replayed report: (protocol, reports the other outcome) to (status, code). 503 is ignored.
_MAY = {
    (1, False): {(204, ""), (400, "JobFinished")},
    (1, True): {(400, "JobFinished")},
    (2, False): {(204, "")},
    (2, True): {(400, "JobFinished")},
}


def count_writes(scene: Scene, connection: Any) -> tuple[int, int]:
    """Return how many writes were acknowledged to submitters and old clients, and how many of them are lost."""
    statuses = {job_id: status for job_id, status, _agent in _rows(connection)}
    lines = read_lines(scene.product.evidence, "submit-*.jsonl") + read_lines(scene.product.evidence, "old-*.jsonl")
    taken = [line for line in lines if line["do"] in ("submit", "report") and 200 <= (line["status"] or 0) < 300]
    kept = [line for line in taken if statuses.get(line["id"], "") in _after(line)]
    return len(taken), len(taken) - len(kept)


def _after(line: dict[str, Any]) -> tuple[str, ...]:
    if line["do"] == "report":
        return (_ENDS[line["kind"]],)
    return ("queuing", "sent", "running", "succeeded", "failed", "expired", "canceled")


def progress_while_slow(scene: Scene, _connection: Any) -> list[str]:
    """F16: jobs are accepted during every slow period."""
    idle = sum(counts[200] + counts[201] == 0 for counts in _statuses_while_slow(scene))
    return [f"F16 -: {idle} times no job was taken while it was slow"] if idle else []


def answers_while_slow(scene: Scene, _connection: Any) -> list[str]:
    """F16: every submission is answered, although 0.5 s per statement is too slow to serve them in time."""
    unanswered = sum(counts[None] for counts in _statuses_while_slow(scene))
    return [f"F16 -: {unanswered} submissions were not answered"] if unanswered else []


def _statuses_while_slow(scene: Scene) -> list[Counter[int | None]]:
    """Return the counts of submissions by status (None: no answer), for each slow period."""
    faults = read_lines(scene.product.evidence, "faults.jsonl")
    windows = list(zip((line["t"] for line in faults[::2]), (line["t"] for line in faults[1::2]), strict=True))
    submits = read_lines(scene.product.evidence, "submit-*.jsonl")
    counts = [Counter(line["status"] for line in submits if since < line["t"] < until) for since, until in windows]
    scene.remarks.append(f"while it was slow, submissions were answered {_counts(sum(counts, Counter()))}")
    return counts


def lost_claims(scene: Scene, connection: Any) -> list[str]:
    """F4: an old client's job expires; a job of protocol 2 is offered again and runs once."""
    assert scene.product.link is not None
    cursor = connection.cursor()
    cursor.execute("SELECT job_id, after FROM jobs_jobevent ORDER BY job_id, number")
    story: defaultdict[str, list[str]] = defaultdict(list)
    for job_id, after in cursor.fetchall():
        story[str(job_id)].append(str(after))
    agents = {job_id: agent for job_id, _status, agent in _rows(connection)}
    started = Counter(
        line["id"] for line in read_lines(scene.product.evidence, "runs.jsonl") if line["do"] == "started"
    )
    wrong, old, new = [], 0, 0
    for job_id in dict.fromkeys(scene.product.link.lost):
        moves = story[job_id]
        if agents[job_id] in OLD_AGENTS and moves.count("sent") == 1 and moves[-1] == "expired":
            old += 1
        elif moves.count("sent") >= 2 and moves[-1] == "succeeded" and started[job_id] == 1:
            new += 1
        else:
            wrong.append(f"F4 {job_id}: for {agents[job_id]}, {', '.join(moves)}; started {started[job_id]} times")
    scene.remarks.append(
        f"{len(scene.product.link.lost)} answers of claims lost: {old} jobs of old clients expired, "
        f"{new} of protocol 2 were offered again and ran once"
    )
    return wrong


def replays(scene: Scene, _connection: Any) -> list[str]:
    """F22: a repeated report is 204 for protocol 2 and JobFinished for old clients; the other outcome is refused."""
    assert scene.product.link is not None
    counts: defaultdict[tuple[str, int, bool], Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    accepted = Counter(
        line["id"] for line in read_lines(scene.product.evidence, "old-*.jsonl") if line.get("status") == 204
    )
    for copy in scene.product.link.replayed:
        counts[copy.kind, copy.protocol, copy.contrary][f"{copy.status} {copy.code}".strip()] += 1
        if copy.kind not in _ENDS or copy.status == 503:
            continue
        if (copy.status, copy.code) not in _MAY[copy.protocol, copy.contrary]:
            wrong.append(f"F22 {copy.job_id}: {copy}")
        accepted[copy.job_id] += copy.protocol == 1 and copy.status == 204
    wrong += [f"F22 {job_id}: {count} reports were accepted" for job_id, count in accepted.items() if count > 1]
    for (kind, protocol, contrary), answers in sorted(counts.items()):
        what = "the other end after it" if contrary else "repeated"
        scene.remarks.append(f"{kind}, protocol {protocol}, {what}: {_counts(answers)}")
    for protocol in (1, 2):
        if not (counts["succeed", protocol, False] and counts["succeed", protocol, True]):
            wrong.append(f"F22 -: no report of protocol {protocol} was replayed")
    return wrong


def _rows(connection: Any) -> list[tuple[str, str, str]]:
    """Return id, status and the agent's name of every job."""
    cursor = connection.cursor()
    cursor.execute("SELECT j.id, j.status, a.name FROM jobs_job j JOIN agents_agent a ON a.id = j.agent_id")
    return [(str(job_id), str(status), str(name)) for job_id, status, name in cursor.fetchall()]


def _counts(counter: Counter[Any]) -> str:
    return ", ".join(f"{count} x {what if what is not None else 'nothing'}" for what, count in counter.most_common())
