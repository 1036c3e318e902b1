"""The command queue coyotes on top of our queues: a channel is a Queue, a task is a job, a failed task is a dead
letter.

- `channels.py`, `tasks.py`, `task.py`, `failed.py`: the services. `words.py`: the original's words for states.
- `wire.py`: forms in, envelopes out. `api.py`: the calls under `/coyotes/{agent}/`.
"""
