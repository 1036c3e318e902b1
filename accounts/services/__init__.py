"""The writes of this app.

- `users.py`: make and freeze users. `identities.py`: bind chat accounts. `tokens.py`: mint and revoke user tokens.
- `audit.py`: the hash-chained audit trail. `quotas.py`: the quota ledger.
"""
