"""Channels: the ways to reach a person.

- `service.py`: create, change, remove. `confirming.py`: a mailbox agrees first. `trial.py`: a test message.
- `api.py`: the calls under `/channels`.
"""
