"""The first middleware: what a request says about its host and scheme."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from kernel.errors import InvalidRequest
from kernel.http.addresses import address_of
from letserver.errors import answer_error

logger = logging.getLogger(__name__)

_SHOWN_CHARACTERS = 100


class UnknownHost(InvalidRequest):
    """The Host header names none of this server's hosts."""

    sentence = _(
        "This server does not answer to the name %(host)s. Its administrator can add the name to "
        "LETSERVER_ALLOWED_HOSTS, or set LETSERVER_PUBLIC_URL."
    )


def check_host(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse an unknown host with an error that names it. /status answers to every name: monitors call it by address.

    A proxy that does not send X-Forwarded-Proto cannot tell a call over http from one over https. To redirect such a
    call would redirect it without end, so it counts as https.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == "/status":
            request.META["HTTP_HOST"] = "localhost"
        if not settings.TRUSTED_PROXIES or request.path == "/status":
            request.META["HTTP_X_FORWARDED_PROTO"] = "https"
        request.META.setdefault("HTTP_X_FORWARDED_PROTO", "https")
        try:
            request.get_host()
        except DisallowedHost:
            host = ascii(request.META.get("HTTP_HOST", ""))[1:-1][:_SHOWN_CHARACTERS]
            logger.warning(
                "unknown host: add it to LETSERVER_ALLOWED_HOSTS, or set LETSERVER_PUBLIC_URL",
                extra={"action": "http.unknown_host", "host": host, "address": address_of(request)},
            )
            with translation.override(translation.get_language_from_request(request)):
                return answer_error(request, UnknownHost(params={"host": host}))
        return get_response(request)

    return answer
