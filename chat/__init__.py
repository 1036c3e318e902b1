"""Chat: commands that a person types on a chat platform, and the answers to them.

The app calls the services of the apps below it and must not know `letserver`. Start reading at
`commands/interpret.py`, then `adapters/`.

- `commands/`: the command language, the same on every platform. `adapters/`: one module per platform.
- `services/`: login codes, the console's conversation, inbound messages, postponed answers, invitations, upkeep.
- `notices.py`: messages about jobs and agents. `asking.py`: questions of agents before a dangerous command.
- `menu.py`: the menu of the official account. `tasks.py`: Celery tasks. `admin.py`: pages for staff.
"""
