"""The outbox. Every row is one thing that must happen outside; it is tried until it happened or is given up.

- `outbox.py`: claim, finish, replay a delivery. `outcome.py`: what follows an attempt. `upkeep.py`: prune old rows.
- `courier.py`: which deliveries of a process run at the same time. `sending.py`: from a claimed row to the service.
- `callbacks.py`, `callback_targets.py`, `signing.py`: signed POSTs to programs. `events.py`: Redis streams.
- `api.py`: the calls under `/deliveries` and `/callbacks`.
"""
