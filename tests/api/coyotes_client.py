"""Requests to the coyotes calls as clients of 2016-2018 write them, byte for byte; standard library only."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote_plus

Fields = Sequence[tuple[str, str]]

BOUNDARY = "------------------------d74496d66958873e"
FORM = "application/x-www-form-urlencoded"


def curl_d(fields: Fields) -> tuple[str, bytes]:
    """curl -d name=value …: joined with &, nothing encoded. Return content type and body."""
    return FORM, "&".join(f"{name}={value}" for name, value in fields).encode()


def curl_urlencode(fields: Fields) -> tuple[str, bytes]:
    """curl --data-urlencode name=value … of older versions, and PHP's rawurlencode: blanks are %20."""
    return FORM, "&".join(f"{name}={quote_plus(value).replace('+', '%20')}" for name, value in fields).encode()


def curl_f(fields: Fields, boundary: str = BOUNDARY) -> tuple[str, bytes]:
    """curl -F name=value …, and an array as CURLOPT_POSTFIELDS of PHP: multipart, in this order."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    ]
    return f"multipart/form-data; boundary={boundary}", ("".join(parts) + f"--{boundary}--\r\n").encode()


def php_build_query(fields: Sequence[tuple[str, str | Sequence[str]]]) -> tuple[str, bytes]:
    """PHP's http_build_query: blanks are +, an array gets its keys in (encoded) brackets."""
    pairs = []
    for name, value in fields:
        if isinstance(value, str):
            pairs.append(f"{quote_plus(name)}={quote_plus(value)}")
        else:
            pairs += [f"{name}%5B{key}%5D={quote_plus(word)}" for key, word in enumerate(value)]
    return FORM, "&".join(pairs).encode()


def basic(name: str, password: str) -> str:
    """curl -u name:password."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


README_ALIAS = (
    "multipart/form-data; boundary=--------------------------019175029883341751119913",
    b"----------------------------019175029883341751119913\r\n"
    b'Content-Disposition: form-data; name="task"\r\n\r\n'
    b"ping -c 40 baidu.com\r\n"
    b"----------------------------019175029883341751119913--\r\n",
)
"""The body of the README's first example, which is posted to /channels/default."""

README_PUSH = curl_f(
    [("task", "pwd"), ("command", "ping"), ("args", "-c"), ("args", "10"), ("args", "baidu.com"), ("delay", "10")],
    "--------------------------488585830099792470732554",
)
"""The body of its second: a command, its arguments, a delay."""
