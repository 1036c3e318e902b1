"""Cron expressions: when a schedule runs, and how to say that in words. Imports no model.

- `schedule.py`: the one class that callers use. `grammar.py`: the parser. `days.py`, `wall.py`: days and time zones.
- `words.py`: sentences in Chinese and English.
"""
