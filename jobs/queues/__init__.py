"""Named queues.

- `service.py`: create, change, pause, drain, flush, count. `dispatch.py`: which job of a queue may start next.
- `pull.py`: queues that a program of the owner reads. `dead_letters.py`: jobs that failed for good.
- `wire.py`: bodies in and out. `api.py`: the calls under `/queues`.
"""
