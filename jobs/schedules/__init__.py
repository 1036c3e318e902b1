"""Schedules: jobs that recur.

- `cron/`: cron expressions, without the database. `calendars.py`: working days.
- `service.py`: create, change, delete. `ends.py`: what switches a schedule off. `quota.py`: how many, how often.
- `rules.py`: which occurrences run, without the database. `scan.py`: the scan that applies the rules.
- `jobs.py`: the job of a run. `grace.py`: alerts for results that did not come. `preview.py`: the next runs in words.
- `wire.py`: bodies in and out. `api.py`: the calls under `/schedules`.
"""
