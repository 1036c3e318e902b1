"""Readers for the text of settings. Each returns the value, or raises WrongValue that says what to write."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import available_timezones

Value = str | int | bool | list[str] | Path


class WrongValue(ValueError):
    """The text of a setting is not valid. The message says what to write."""


def text(raw: str) -> str:
    """Any text."""
    return raw


def secret(raw: str) -> str:
    """At least 32 characters."""
    if len(raw) < 32:
        raise WrongValue("at least 32 random characters, for example from: openssl rand -base64 48")
    return raw


def optional_secret(raw: str) -> str:
    """The same, or nothing."""
    return secret(raw) if raw else raw


def switch(raw: str) -> bool:
    """on or off."""
    if raw.lower() not in ("on", "off"):
        raise WrongValue("on or off")
    return raw.lower() == "on"


def folder(raw: str) -> Path:
    """A folder, made absolute."""
    return Path(raw).expanduser().absolute()


def names(raw: str) -> list[str]:
    """Names, with commas."""
    return [name.strip() for name in raw.split(",") if name.strip()]


def number(low: int, high: int) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def read(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", raw) or not low <= int(raw) <= high:
            raise WrongValue(f"a whole number from {low} to {high}")
        return int(raw)

    return read


def url(*schemes: str, optional: bool = False) -> Callable[[str], str]:
    """A URL of one of these schemes."""

    def read(raw: str) -> str:
        if optional and not raw:
            return raw
        if urlsplit(raw).scheme not in schemes:
            raise WrongValue("a URL that begins with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return raw

    return read


def public_url(raw: str) -> str:
    """The address of this server: a scheme and a host, perhaps a port; or nothing."""
    parts = urlsplit(raw)
    if raw and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise WrongValue("a URL that begins with http:// or https://, and a host")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise WrongValue(
            "a URL with a host and perhaps a port, and nothing else: LetServer needs a host name of its own"
        )
    try:
        _port = parts.port
    except ValueError as error:
        raise WrongValue("a URL whose port is a number up to 65535") from error
    return raw.rstrip("/")


def base_url(raw: str) -> str:
    """The address of a platform; without TLS only on this machine, where a simulator may stand in for it."""
    parts = urlsplit(raw)
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and local)):
        raise WrongValue("a URL that begins with https:// (http:// only for this machine)")
    return raw.rstrip("/")


def networks(raw: str) -> list[str]:
    """Networks in CIDR, with commas."""
    try:
        return [str(ipaddress.ip_network(name)) for name in names(raw)]
    except ValueError as error:
        raise WrongValue("networks such as 192.168.1.0/24, with commas") from error


def fernet_keys(raw: str) -> list[str]:
    """Fernet keys, with commas."""
    for key in names(raw):
        try:
            usable = len(base64.urlsafe_b64decode(key)) == 32
        except (ValueError, binascii.Error):
            usable = False
        if not usable:
            raise WrongValue("keys of 32 random bytes in URL-safe base64, with commas; the first one seals")
    return names(raw)


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def read(raw: str) -> str:
        if raw not in words:
            raise WrongValue(" or ".join(word or "nothing" for word in words))
        return raw

    return read


def words(raw: str) -> str:
    """A JSON object of texts."""
    try:
        read = json.loads(raw)
    except ValueError as error:
        raise WrongValue('JSON such as {"thing1": "title"}') from error
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise WrongValue('JSON such as {"thing1": "title"}')
    return raw


def aes_key(raw: str) -> str:
    """An EncodingAESKey, or nothing."""
    if raw and not re.fullmatch(r"[0-9A-Za-z]{43}", raw):
        raise WrongValue("the 43 letters and digits of the EncodingAESKey")
    return raw


def language(raw: str) -> str:
    """A language of the pages."""
    if raw not in ("zh-hans", "en"):
        raise WrongValue("zh-hans or en")
    return raw


def zone(raw: str) -> str:
    """A time zone name."""
    if raw not in available_timezones():
        raise WrongValue("a time zone name such as Asia/Shanghai")
    return raw


def level(raw: str) -> str:
    """A level of logging."""
    if raw not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise WrongValue("DEBUG, INFO, WARNING or ERROR")
    return raw
