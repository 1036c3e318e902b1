"""Cron expressions: when a schedule runs, and how that is said. Knows no model; start reading at `schedule.py`."""
