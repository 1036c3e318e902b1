"""Schedules: jobs that recur.

- `cron/`: cron expressions, without the database. `calendars.py`: working days.
- `service.py`: create, change, delete. `ends.py`: what switches a schedule off. `quota.py`: how many, how often.
- `moments.py`: the rules for due runs, without the database. `occurrences.py`: the scan that applies them.
- `jobs.py`: the job of a run. `grace.py`: alerts for results that did not come. `preview.py`: the next runs in words.
- `wire.py`: bodies in and out. `api.py`: the calls under `/schedules`.
"""
