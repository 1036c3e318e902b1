"""The base that every app uses. It has no models and must not import an app.

Start reading at `errors.py`, `transactions.py`, `bells.py`.

- `errors.py`: the one tree of errors. `transactions.py`: named transactions. `alone.py`: a batch service with one item.
- `bells.py`: wake-ups that may be lost. `failpoints.py`: places where a test kills the process.
- `clock.py`: the database's time. `durations.py`: `1h30m`, `15天`. `ids.py`, `fields.py`: primary keys.
- `text.py`, `visible.py`, `names.py`, `strictjson.py`: check, cut and show text that clients send.
- `keyset.py`: pages of long lists. `rows.py`: bulk writes. `connections.py`: database connections of threads.
- `limits.py`, `rediskeys.py`: rate limits, and every key in Redis. `sealing.py`: encrypted secrets.
- `outbound.py`: HTTP calls to addresses that users choose. `commands.py`: errors of management commands.
- `http/`: the adapters for Django, DRF and the gateway.
"""
