"""The writes of this app.

- `codes.py`: one-time codes to bind and to log in. `invitations.py`: rewards for posters.
- `inbound.py`: answer each pushed message once. `later.py`: postponed answers.
- `conversation.py`: the console's chat. `upkeep.py`: delete old rows.
"""
