"""Wiring: settings, URLs, ASGI, Celery, the supervisor of `make up`. It knows every app and holds no rule.

It must not hold code that an app could own. Start reading at `environment.py` (every setting), then `asgi.py`.

- `environment.py`, `readers.py`: the table of settings, and how their text is read. `settings.py`: Django's settings.
- `asgi.py`, `web.py`: the web process. `celery.py`, `watchdog.py`: worker and beat.
- `urls.py`, `console_urls.py`: the paths. `api.py`: calls that belong to no app. `errors.py`: Django's own error pages.
- `databases.py`, `checks.py`: connections, and the start-up checks. `logs.py`: log lines.
- `private.py`: umask, owners and modes of files.
- `apps.py`, `staff.py`: the admin site. `templatetags/`: tags for pages. `borrowed_words.py`: translations.
- `up/`: the supervisor of `make up`. `bootstrap.py`: builds the environment. `embedded.py`: the private Redis.
  `lifeline.py`: ends children with their parent.
"""
