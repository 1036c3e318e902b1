"""skadi, the agent program: asks a server for jobs and runs only what its own skadi.yml allows.

It must not know the server's code: the contract is `docs/wire/agent.json` and `docs/agent.md`; standard library only.
Start reading at `agent.py` (who does what), then `match.py` (what may run) and `shim.py` (how it runs).
"""

__version__ = "2.0.0"
