"""Mint, recognize and hash tokens. The shape of a token shows its kind, without a query.

User tokens: `lsu_` (everything), `lsj_` (jobs) or `lsn_` (messages), then 30 base62 characters, then 6 that encode the
CRC-32 of the rest. Agent tokens: 20 base62 characters, because old agents accept nothing else. The random characters
come from the operating system.
"""

from __future__ import annotations

import enum
import hashlib
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
AGENT_TOKEN_LENGTH = 20
_RANDOM_LENGTH = 30
_CHECK_LENGTH = 6
SHOWN_LENGTH = 8

SCOPE_OF_PREFIX = {"lsu_": "full", "lsj_": "jobs", "lsn_": "messages"}
PREFIX_OF_SCOPE = {scope: prefix for prefix, scope in SCOPE_OF_PREFIX.items()}

_USER_SHAPE = re.compile(rf"(lsu_|lsj_|lsn_)([0-9A-Za-z]{{{_RANDOM_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})")
_AGENT_SHAPE = re.compile(rf"[0-9A-Za-z]{{{AGENT_TOKEN_LENGTH}}}")


class TokenKind(enum.Enum):
    """The kind of a token, by its shape."""

    USER = "user"
    AGENT = "agent"
    MALFORMED = "malformed"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def new_user_token(scope: str) -> str:
    """Mint a user token of a scope (`full`, `jobs`, `messages`)."""
    body = PREFIX_OF_SCOPE[scope] + _random(_RANDOM_LENGTH)
    return body + _checksum(body)


def new_agent_token() -> str:
    """Mint an agent token: 119 random bits."""
    return _random(AGENT_TOKEN_LENGTH)


def kind_of(token: str) -> TokenKind:
    """Return the kind by shape and checksum; a user token with a wrong checksum is malformed."""
    if _AGENT_SHAPE.fullmatch(token):
        return TokenKind.AGENT
    match = _USER_SHAPE.fullmatch(token)
    if match and secrets.compare_digest(_checksum(match[1] + match[2]), match[3]):
        return TokenKind.USER
    return TokenKind.MALFORMED


def digest(token: str) -> str:
    """Return the SHA-256 in hex by which a token is stored and looked up."""
    return hashlib.sha256(token.encode()).hexdigest()


def shown_prefix(token: str) -> str:
    """Return the part of a token that pages and logs may show."""
    return token[: SHOWN_LENGTH if token.startswith("ls") else 4]
