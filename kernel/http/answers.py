"""How an error is told to a program: one shape, whoever answers."""

from __future__ import annotations

from kernel.errors import AppError

BODY_LIMIT = 64 * 1024
"""Bytes of a request body, where a call does not say otherwise."""


def error_body(error: AppError) -> dict[str, str]:
    """Return the one shape of an error, in the language that is active."""
    return {"error": error.code, "message": error.message, **error.details}


def error_headers(error: AppError) -> dict[str, str]:
    """Return the headers that go with an error."""
    return {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}


def api_language(accept_language: str | None) -> str:
    """Return the language of an API sentence: Chinese where the caller prefers it, else English."""
    for part in (accept_language or "").split(","):
        tag = part.split(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh-hans"
        if tag.startswith("en"):
            return "en"
    return "en"
