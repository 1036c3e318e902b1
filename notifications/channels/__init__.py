"""Channels: the ways to reach a person.

- `service.py`: create, change, order, remove. `settings.py`: the sealed settings. `trial.py`: a test message.
- `identity.py`: the channel of a chat account. `confirming.py`: a mailbox is confirmed before it gets messages.
- `api.py`, `wire.py`: the calls under `/channels`.
"""
