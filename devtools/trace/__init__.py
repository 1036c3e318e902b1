"""Count the product files that one call crosses: `make trace`, or `python -m devtools.trace --files`.

Method: the ASGI application runs in this process, with the gateway on, a SQLite file and a Redis of its own. A profile
function sees every Python call in every thread, from the request until the bells that it rings after COMMIT are handed
out. Each call of the table is made several times; the first, which fills caches and imports modules, is not counted. A
function counts if every later run entered it, so that background tasks which happen to run at the same time drop out.
The caller is a plain user with rate limits, because staff skip them. "report to outbox row" is the report of a job with
`notify`, seen in the thread that writes the outbox row, until it writes it.

- files: files of the product's rooms, without `skadi/`, in which a function was entered.
- functions: functions, lambdas and comprehensions that were entered.
- calls: how often they were entered; a coroutine that goes on after an await is not entered again.

Modules: `recorder.py` sees the calls, `product.py` runs the application, `calls.py` is the table's rows.
Only HTTP paths, management commands and the names of two database tables are used, so the same script measures older
and newer checkouts.
"""
