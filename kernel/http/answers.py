"""The one shape in which the API, the gateway and Django's own handlers answer an error."""

from __future__ import annotations

from kernel.errors import AppError

BODY_LIMIT = 64 * 1024
"""Most bytes of a request body, unless a call sets another limit."""


def error_body(error: AppError) -> dict[str, str]:
    """Return the body of an error, its sentence in the active language."""
    return {"error": error.code, "message": error.message, **error.details}


def error_headers(error: AppError) -> dict[str, str]:
    """Return the headers of an error: Retry-After if the caller should wait."""
    return {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}


def api_language(accept_language: str | None) -> str:
    """Return the language of API sentences: Chinese if the caller prefers it, else English."""
    for part in (accept_language or "").split(","):
        tag = part.split(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh-hans"
        if tag.startswith("en"):
            return "en"
    return "en"
