"""The address of a caller behind a known number of reverse proxies."""

from __future__ import annotations

import ipaddress


def caller_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str | None:
    """Return the caller's IP address, or None where it cannot be known (a Unix socket, a proxy that wrote nonsense).

    Each trusted proxy appended the address it saw to X-Forwarded-For, so ours stands `trusted_proxies` places from the
    right; whatever is left of it was written by the caller and counts for nothing.
    """
    address = peer
    if trusted_proxies:
        hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
        address = hops[-trusted_proxies] if len(hops) >= trusted_proxies else peer
    try:
        # The scope of a link-local address names an interface of ours, and is longer than an address.
        return str(ipaddress.ip_address((address or "").partition("%")[0]))
    except ValueError:
        return None
