"""REST calls about single jobs, and what the features' own `wire.py` and `api.py` share.

- `user.py`, `lists.py`, `me.py`: calls of people and their programs. `agent.py`: calls of agents. `system.py`: `/sys`.
- `fields.py`, `reading.py`, `following.py`: read bodies, queries, headers. `rendering.py`: write answers.
- `schema.py`: serializers that draw the OpenAPI schema.

A view parses, calls one service, renders. The rules are in the services.
"""
