"""The address of a caller behind a known number of reverse proxies."""

from __future__ import annotations

import functools
import ipaddress

from django.conf import settings
from django.http import HttpRequest


@functools.lru_cache(maxsize=4096)
def caller_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str | None:
    """Return the caller's IP address; None if it is unknown (a Unix socket, or a malformed header of a proxy).

    Each trusted proxy appends the address that it sees to X-Forwarded-For. So the caller's address is the
    `trusted_proxies`-th from the right; the caller may have forged everything left of it.
    """
    address = peer
    if trusted_proxies:
        hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
        address = hops[-trusted_proxies] if len(hops) >= trusted_proxies else peer
    try:
        # The scope of a link-local address names a network interface of this server and is not part of the address.
        return str(ipaddress.ip_address((address or "").partition("%")[0]))
    except ValueError:
        return None


def address_of(request: HttpRequest) -> str | None:
    """Return the caller's IP address, or None where it cannot be known."""
    forwarded_for = request.headers.get("X-Forwarded-For")
    return caller_address(request.META.get("REMOTE_ADDR"), forwarded_for, settings.TRUSTED_PROXIES)
