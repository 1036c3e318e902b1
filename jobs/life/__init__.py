"""The life of a job, one module per step. Every module moves jobs through `jobs.transitions`.

- `submit.py`, `submit_many.py`: accept a job. `insert.py`: insert new rows, for every way to order a job.
- `claim.py`, `report.py`, `log.py`, `beat.py`: what an agent does with a job.
- `retry.py`, `chains.py`: what follows an end. `callbacks.py`: outbox rows for programs.
- `cancel.py`, `expire.py`: ends that a person or the upstream program asks for.
- `offline.py`, `overdue.py`, `upkeep.py`, `retention.py`: the sweeps. `ticker.py`: whether due work may start.
- `read.py`, `listing.py`: questions. `bells.py`: wake-ups through Redis. `restore.py`: after a backup was restored.

A hot service takes a sequence and returns one outcome per item in the same order. An outcome is a value or an
AppError; the error is returned, because raising it would fail the other items of the batch.
"""
