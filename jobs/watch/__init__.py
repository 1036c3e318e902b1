"""Change detection: tell the owner only when a result differs from the one before.

- `policy.py`: what the owner asked for. `extract.py`: which part of an output is compared. `patterns.py`: ignore rules.
- `evaluate.py`: one run against the memory. `memory.py`: what is kept between runs. `render.py`: the notice in words.
- `service.py`: the observer: load the memory, evaluate, queue the notice in the transaction of the job's end.

Everything but `service.py` is pure: no clock, no database, no models of jobs or schedules.
"""
