"""The outbox: each row is one thing that must happen outside, and is attempted until it succeeds or is given up.

- `claim.py` locks a row and counts the attempt, `sending.py` sends it, `finish.py` writes the result.
- `outcome.py` decides what follows a failed attempt; `switching.py` switches a broken channel off.
- `courier.py` limits what is in flight; `sweep.py` rings lost deliveries; `replay.py`, `upkeep.py`: replay, prune.
- `callbacks.py`, `callback_targets.py`, `signing.py`: signed POSTs to programs. `events.py`: Redis streams.
- `rows.py`: rows that carry a message. `api.py`, `wire.py`: the calls under `/deliveries` and `/callbacks`.
"""
