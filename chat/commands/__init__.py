"""The command language, the same on every platform.

- `interpret.py`: from a line to a reply; start here. `registry.py`: lines, replies and the table of commands.
- `words.py`: compare words as people type them. `confirm.py`: questions before a command that cannot be undone.
- `builtin.py`: the list of commands. `help.py`, `tokens.py`, `agents.py`, `jobs.py`, `delayed.py`, `schedules.py`,
  `people.py`, `poster.py`: the commands, one module per subject.
"""
