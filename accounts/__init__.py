"""Accounts: users, chat identities, tokens, the audit trail, the quota ledger.

The app must not know agents, jobs or messages; those apps call this one. Start reading at `models.py`, `tokens.py`.

- `tokens.py`: mint and recognize tokens. `credentials.py`: from a token to a principal. `identity.py`: its queries.
- `authentication.py`: the classes for Django REST framework. `limits.py`: its rate limits.
- `services/`: the writes: users, chat identities, tokens, audit entries, the quota ledger.
- `hooks.py`, `quotas.py`: registries that upper apps fill.
- `console.py`, `forms.py`, `pages.py`: the web pages, and the decorators of every page. `sessions.py`: audit of logins.
- `admin.py`: pages for staff. `querysets.py`: filters.
"""
