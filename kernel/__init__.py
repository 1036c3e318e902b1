"""The base that every app uses. It has no models and must not import an app.

Start reading at `errors.py`, `transactions.py`, `bells.py`.

- `errors.py`: the one tree of errors. `transactions.py`: named transactions, and the policy for running one again.
- `bells.py`: wake-ups that may be lost. `loops.py`: the guard of threads and loops. `coroutines.py`: without a loop.
- `clock.py`: the database's time. `durations.py`: `1h30m`, `15天`. `ids.py`, `fields.py`: primary keys.
- `text.py`, `visible.py`, `names.py`, `strictjson.py`: check, cut and show text that clients send.
- `keyset.py`: pages of long lists. `rows.py`: bulk writes. `connections.py`: statement times. `columns.py`: migrations.
- `idempotency.py`: idempotency keys. `limits.py`, `rediskeys.py`: rate limits, and every key in Redis.
- `sealing.py`: encrypted secrets. `outbound.py`: HTTP calls to addresses that users choose.
- `commands.py`: errors of management commands. `failpoints.py`: places where a test kills the process.
- `http/`: the adapters for Django, DRF and the gateway.
"""
