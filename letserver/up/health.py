"""Requests to the running instance, sent as a client sends them."""

from __future__ import annotations

import http.client
import json
from typing import Any

from letserver.up.configuration import Configuration

_DEMO = "demo"


def last_answer_of_web(configuration: Configuration) -> int:
    """Return the status that the web answers at /status: 204 if it is well, 0 without an answer."""
    return _get(configuration, "/status", token="")[0]


def demo_agent_is_awaited(configuration: Configuration, *, token: str) -> bool:
    """Tell whether the demo agent exists and has not called yet, so that a job for it would be refused.

    False if the token was revoked or the agent removed, because then waiting is pointless.
    """
    status, body = _get(configuration, "/agents", token=token)
    agents = body.get("items", []) if status == http.client.OK and isinstance(body, dict) else []
    return any(agent.get("name") == _DEMO and not agent.get("online") for agent in agents)


def _get(configuration: Configuration, path: str, *, token: str) -> tuple[int, Any]:
    """Return (status, JSON or None); (0, None) without an answer within a second."""
    connection = http.client.HTTPConnection(configuration.local_host, configuration.port, timeout=1.0)
    headers = {"Host": f"localhost:{configuration.port}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()
