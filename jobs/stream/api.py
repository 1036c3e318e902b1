"""GET /stream: what happened, for programs that would rather wait than be called."""

from __future__ import annotations

import time

from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import FullUser, caller
from accounts.credentials import identify_again, require
from accounts.power import Power
from jobs.api import rendering
from jobs.api.schema import NewsPageSerializer
from jobs.gateway.waiters import read_wait
from jobs.stream.service import Cursor, read_page, start_now
from kernel.errors import InvalidRequest
from kernel.http.openapi import describe, query, text_of, wait_query
from kernel.http.rest import Operation, query_value

_LOOK_EVERY_SECONDS = 0.5


class Stream(Operation):
    """/stream."""

    authentication_classes = (FullUser,)

    @describe(
        "stream",
        "Wait for what happens to your jobs and messages",
        answers={200: NewsPageSerializer},
        parameters=[
            query("since", "`next` of the answer before; without it only what happens from now on.", text_of(1)),
            wait_query("Seconds to wait for something new"),
        ],
    )
    def get(self, request: Request) -> Response:
        """Return at most 100 items, oldest first; with `wait`, when there is one or the time is over."""
        deadline = time.monotonic() + read_wait(request.query_params.getlist("wait"))
        principal = caller(request)
        since = query_value(request, "since")
        cursor = start_now(owner_id=principal.owner_id) if since is None else Cursor.read(since)
        if cursor is None:
            raise InvalidRequest(_("since is not one that an answer gave."))
        news = read_page(owner_id=principal.owner_id, since=cursor)
        while not news.items and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_SECONDS)
            require(identify_again(principal), Power.MANAGE)
            news = read_page(owner_id=principal.owner_id, since=news.cursor)
        return Response(rendering.news_json(news))
