"""Agents, their names, tags, tokens and presence.

The app must not know jobs; apps that act when an agent is removed register in `hooks.py`. Start reading at `models.py`,
`services/`.

- `services/`: find, add, change and delete agents; write when they were last seen; count them.
- `names.py`: the rules for names, aliases and tags. `identity.py`: from an agent token to a principal.
- `api.py`: the REST calls. `console.py`, `forms.py`: the web pages. `admin.py`: pages for staff.
- `hooks.py`: the registry for upper apps. `querysets.py`: filters.
"""
