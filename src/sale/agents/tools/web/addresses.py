"""Which addresses agents may reach: the public internet, on the web's ports, and what the settings add.

An agent follows addresses that strangers wrote. So a name is looked up here, every address it has is checked, and the
connection is made to an address that was checked: there is no second look-up whose answer could be another one. Ways
of writing an address (`http://2130706433/`, `http://0x7f.1/`) need no rules of their own: what counts is where they
lead.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx2

from sale.errors import FetchError, ForbiddenAddressError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host and a port to IP addresses, best first; raises `FetchError` where there are none."""

WEB_PORTS = frozenset({80, 443})
MAX_ADDRESS_CHARACTERS = 2000
"""Characters. Longer ones carry data, not a place."""

# Refused with reason: the IANA registries of special-purpose addresses, and metadata services on public addresses.
SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a cloud's host, asked for secrets by its guests
        ),
    )
)
# Of IPv6 only global unicast is public. Mapped, compatible, NAT64, unique local, link-local and multicast addresses lie
# outside it; inside lie the protocol assignments (Teredo among them), documentation, and 6to4.
PUBLIC_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))

_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedHosts:
    """Where agents may go beyond the public internet's web ports."""

    ports: frozenset[int] = WEB_PORTS
    hosts: frozenset[str] = frozenset()
    """Names in lower case that may be reached wherever they lead."""
    networks: tuple[IPNetwork, ...] = ()
    """Addresses that may be reached though they are not public."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedAddress:
    """A checked address: where to connect, and whom to ask for."""

    url: httpx2.URL
    port: int
    addresses: tuple[str, ...]
    """The IP addresses of its host, all of them checked."""


def allowed_hosts_of(allow: Sequence[str], ports: Sequence[int]) -> AllowedHosts:
    """Return the hosts that the settings allow: IP addresses and networks, and names of hosts.

    Raises:
        ValueError: An entry is neither.
    """
    hosts: list[str] = []
    networks: list[IPNetwork] = []
    for entry in allow:
        try:
            networks.append(ip_network(entry))
        except ValueError:
            name = entry.lower().rstrip(".")
            if "/" in name or not _NAME.fullmatch(name):
                raise ValueError(f"{entry!r} is no name of a host, IP address or network") from None
            hosts.append(name)
    return AllowedHosts(ports=frozenset(ports), hosts=frozenset(hosts), networks=tuple(networks))


def is_public(address: IPAddress) -> bool:
    """Return whether an IP address is one of the public internet's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in SPECIAL_V4)
    if address.scope_id is not None or address not in PUBLIC_V6:
        return False
    return not any(address in network for network in SPECIAL_V6)


def parse_address(address: str) -> httpx2.URL:
    """An address as it is written, without its fragment.

    Raises:
        ForbiddenAddressError: It is not an http or https address, or is written in a way that is refused.
    """
    if len(address) > MAX_ADDRESS_CHARACTERS:
        raise ForbiddenAddressError(f"the address is longer than {MAX_ADDRESS_CHARACTERS} characters")
    try:
        url = httpx2.URL(address.strip()).copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError):
        raise ForbiddenAddressError(f"{address[:100]!r} is no address", hint="Give one like https://…") from None
    if url.scheme not in {"http", "https"}:
        raise ForbiddenAddressError(
            f"only http and https are fetched, not {address[:100]!r}", hint="Give one like https://…"
        )
    if url.userinfo:
        raise ForbiddenAddressError("an address with a user name or password in it is not fetched")
    if not url.host or "%" in url.host:
        raise ForbiddenAddressError(f"{address[:100]!r} names no host")
    return url


async def resolve_address(url: httpx2.URL, reach: AllowedHosts, resolve: Resolver) -> CheckedAddress:
    """Look up and check an address; one bad address among several of a name is enough to refuse it.

    Raises:
        ForbiddenAddressError: Agents may not go there.
        FetchError: There is no such host.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    if port not in reach.ports:
        allowed = ", ".join(map(str, sorted(reach.ports)))
        raise ForbiddenAddressError(f"port {port} is not open to agents, only {allowed}")
    host = url.raw_host.decode("ascii")
    addresses = tuple(await resolve(host, port))
    if host.lower().rstrip(".") not in reach.hosts:
        for address in addresses:
            if not _may_go(address, reach):
                raise ForbiddenAddressError(f"{host!r} leads to {address}, which is not on the public internet")
    if not addresses:
        raise FetchError(f"there is no host {host!r}")
    return CheckedAddress(url=url, port=port, addresses=addresses)


async def resolve_own_address(url: httpx2.URL, resolve: Resolver) -> CheckedAddress:
    """The place of an address that the user's own settings name: nothing is refused.

    Raises:
        FetchError: There is no such host.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    return CheckedAddress(url=url, port=port, addresses=tuple(await resolve(url.raw_host.decode("ascii"), port)))


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's look-up.

    Raises:
        FetchError: The host does not exist, or cannot be looked up.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError(f"there is no host {host!r}, or it cannot be looked up now") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _may_go(address: str, reach: AllowedHosts) -> bool:
    try:
        known = ip_address(address)
    except ValueError:
        return False
    return is_public(known) or any(known in network for network in reach.networks)
