"""A good client's POST /jobs at a fixed rate, alone and while each abuse of `benchmarks/abuses.py` runs.

A call that fails counts as ten seconds. The server has its limits on; the good calls come from people of their own,
far below the limits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from benchmarks.abuses import ABUSES
from benchmarks.load import Latencies, patiently, request
from benchmarks.people import people
from benchmarks.product import Product
from benchmarks.table import Bench, Line, Round
from tests.lanes.services import ROOT

_A_SECOND = 20
_WARM_SECONDS = 1.0
_TIMEOUT_SECONDS = 10.0
_LIMITS = {
    "LETSERVER_USER_CALLS_A_MINUTE": "300",
    "LETSERVER_AUTH_FAILURES_A_MINUTE": "20",
    "LETSERVER_VISITOR_PAGES_A_MINUTE": "180",
}


def _measure(product: Product, seconds: float) -> Round:
    from accounts.models import User
    from agents.models import Agent
    from agents.services.manage import create_agent, reset_agent_token

    abuser, *good = people(product)
    for one in (abuser, *good):
        if not Agent.objects.filter(owner_id=one.id, name="abused").exists():
            create_agent(owner=User.objects.get(pk=one.id), name="abused", actor="bench")
    agent = Agent.objects.get(owner_id=abuser.id, name="abused")
    tokens = {
        "ABUSE_USER": abuser.token,
        "ABUSE_AGENT": reset_agent_token(agent=agent, actor="bench"),
    }
    web = product.web.neighbour(**_LIMITS)
    try:
        order = json.dumps({"agent": "abused", "message": "date", "ttl": 900}).encode()
        calls = [
            request("/jobs", order, Authorization=f"Bearer {good[number % len(good)].token}")
            for number in range(max(40, int(_A_SECOND * seconds)))
        ]

        def measured() -> Latencies:
            return patiently(web.port, calls, a_second=_A_SECOND, wanted=201, timeout=_TIMEOUT_SECONDS)

        found = dict(_round("alone", measured()))
        for name in ABUSES:
            command = [sys.executable, "-m", "benchmarks.abuses", name, str(web.port)]
            with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **tokens}) as abuse:
                time.sleep(_WARM_SECONDS)
                assert abuse.poll() is None, f"{name} has ended"
                try:
                    found |= _round(name, measured())
                finally:
                    abuse.kill()
        return found
    finally:
        web.stop()


def _round(name: str, latencies: Latencies) -> Round:
    return {f"{name} p50": latencies.at(0.50), f"{name} p99": latencies.at(0.99)}


BENCH = Bench(
    name="abused",
    lines=[
        Line(title=f"{name}, {share}", figure=f"{name} {share}", yardstick=f"alone {share}", beside="alone", unit="ms")
        for name in ABUSES
        for share in ("p50", "p99")
    ],
    measure=_measure,
)
