"""The web server's application: the gateway in front of Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letserver.settings")
_django = get_asgi_application()

from django.conf import settings  # noqa: E402  only after Django is set up

from jobs.gateway.app import Gateway  # noqa: E402
from letserver.visitors import VisitorLimiter  # noqa: E402

application = Gateway(VisitorLimiter(_django, a_minute=settings.VISITOR_PAGES_A_MINUTE), hot=settings.GATEWAY)


def release_waiters() -> None:
    """Answer every parked call at once; called on the loop when the server is asked to stop."""
    application.release_waiters()
