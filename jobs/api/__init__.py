"""The calls about jobs through Django REST framework: `agent.py` for agents, `user.py` and `lists.py` for people.

Must not hold a rule: bodies are read by `jobs.wire`, work is done by `jobs.services`. Start reading at `user.py`.
"""
