"""The hot calls of agents and senders: one handler each, mounted in front of Django by the gateway.

With LETSERVER_GATEWAY=off Django mounts the same handlers (`jobs/api/direct.py`). A handler holds no rule: it reads,
calls a service, renders.

- `agent_calls.py`, `user_calls.py`: the handlers. Start reading here.
- `interface.py`: what a handler is given: a call and a backend.
- `app.py`, `http.py`: the ASGI application and as much HTTP as it needs.
- `pipeline.py`: the gateway's backend and its background tasks: `writer.py` (batched transactions, `batch.py`),
  `reader.py` (threads for reads), `callers.py` (the caller, and when an agent was last seen), `waiters.py` (held
  calls), `redislink.py`.
"""
