"""Wiring: settings, urls, ASGI, Celery, the supervisor of `make up`. Knows every app and holds no rule.

Must not hold what an app could own. Start reading at `environment.py` (every setting), then `asgi.py`.
"""
