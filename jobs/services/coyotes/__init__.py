"""The command queue of coyotes on ours: a channel of an agent is a Queue, a task a job, a failed task a dead letter.

Knows nothing of forms and envelopes (`jobs.wire.coyotes`). Start reading at `tasks.py`.
"""
