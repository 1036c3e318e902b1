"""The ground that every app stands on: errors, ids, clock, text, strict JSON, transactions, bells, limits.

`http/` holds what Django, DRF and the gateway share. The room has no models and must not import an app.
Start reading at `errors.py`, `transactions.py`, `bells.py`.
"""
