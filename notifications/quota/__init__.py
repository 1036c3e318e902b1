"""Limits of the platforms: reserve, learn, show.

- `ledger.py`: reserve a message on a channel, give it back, and show what is used.
- `chat_credit.py`: texts that WeChat allows after a person has written. `pace.py`: messages a minute of a robot.

Template messages a day are counted by `accounts.services.quotas`. Sources: the platforms' documents, docs/channels.md.
"""
