"""Where a request comes from: straight from this machine, or else whose address that is.

All that is for this machine only, or counts by address, uses this module.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, cast
from urllib.parse import urlsplit

from starlette.types import Scope

from sale.config.proxies import is_loopback

FORWARDED: Final = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-forwarded-for",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
    }
)
"""Headers by which proxies say for whom they ask, beside all that begin with `x-forwarded`."""
FORWARDED_PREFIX: Final = b"x-forwarded"
IPV6_BITS: Final = 64
"""Of an address, which are those of one customer."""


def is_direct(scope: Scope) -> bool:
    """Return whether a program of this machine sent this request itself.

    Behind a proxy on the same machine everybody comes from this machine, so a request that says it was forwarded does
    not count. A proxy that says nothing of it cannot be told from a program: that is what keys and the password are
    for.
    """
    headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
    if any(name in FORWARDED or name.startswith(FORWARDED_PREFIX) for name, _ in headers):
        return False
    client = cast("tuple[str, Any] | None", scope.get("client"))
    return client is not None and _is_loopback(client[0])


@lru_cache(64)  # a client says the same each time
def is_own_place(place: str) -> bool:
    """Return whether a `Host`, or an origin, names this machine: another one may have been made to point here."""
    try:
        host = urlsplit(place if "//" in place else f"//{place}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)


@lru_cache(1024)
def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def customer_of(host: str) -> str:
    """Return the customer of an address: of IPv6 the network of 64 bits, as one customer has all its addresses."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or int(address) >> (128 - IPV6_BITS))
    return host
