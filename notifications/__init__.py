"""Tell: the outbox of everything that must happen outside, written in the transaction of the change it tells of.

Must not know agents or jobs: a row carries its subject as text. Start reading at `models.py`.
"""
