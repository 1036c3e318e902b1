"""Delete old rows of conversations."""

from __future__ import annotations

import datetime as dt

from chat.models import ChatLine, Question
from kernel.clock import database_now

LINES_LIFE = dt.timedelta(days=90)
_BATCH = 1000


def forget_old_rows() -> int:
    """Delete expired questions and old lines of the console's chat; return the number of rows."""
    now = database_now()
    questions = Question.objects.filter(expires_at__lt=now).delete()[0]
    old = list(ChatLine.objects.filter(at__lt=now - LINES_LIFE).values_list("pk", flat=True)[:_BATCH])
    return questions + ChatLine.objects.filter(pk__in=old).delete()[0]
