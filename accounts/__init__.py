"""Who: users, their tokens, the audit trail, the quota ledger.

Must not know agents, jobs or messages: what they need from here they call. Start reading at `models.py`, `tokens.py`.
"""
