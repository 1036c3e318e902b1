"""skadi, the agent program: it fetches jobs from a server and runs only what its own skadi.yml allows.

The agent uses the standard library only and must not import the server's code. Their contract is `docs/wire/agent.json`
and `docs/agent.md`. Start reading at `agent.py` (the parts), `match.py` (what may run) and `shim.py` (how it runs).
"""

__version__ = "2.0.0"
