"""The queries and writes of this app.

- `find.py`: agents by id, name or alias; which of them can take jobs. `manage.py`: add, change, delete, tokens.
- `presence.py`: when agents were last seen. `quota.py`: the limit of agents per owner.
"""
