"""Where: agents, their tokens, their presence.

Must not know jobs: who must act when an agent goes registers in `hooks.py`. Start reading at `models.py`, `services/`.
"""
