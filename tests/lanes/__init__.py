"""Two lanes of the same suite: SQLite, and a private MariaDB; each with a private Redis, in temporary folders.

`__main__.py` is `make test`; `services.py` starts the servers for `tests/conftest.py`; `live.py` runs the web server.
"""
