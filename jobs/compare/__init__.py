"""Whether a run has news: its output against what is remembered of those before, and the words in which it is told.

Must not know the database, jobs or schedules: it is handed a policy, a memory and a run, and hands back a notice and
the memory for the next time. Start reading at `policy.py`, then `judge.py`; `observe.py` says what of an output counts.
"""
