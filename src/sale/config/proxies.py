"""The proxies of the environment: which of them leads to an address. All HTTP clients of the package ask here.

`HTTP_PROXY` and `HTTPS_PROXY` count before `ALL_PROXY`, in small letters too, and what macOS or Windows are set to. The
way to this very machine is always direct, and so is that to a host that `NO_PROXY` names: by name, as the end of a
name, by address or by network (`10.0.0.0/8`). Pages and searches of agents never go through a proxy, since what they
may reach is checked by address.
"""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import IO, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from sale.errors import ConfigError, MissingExtraError

HTTP = frozenset({"http", "https"})
SOCKS = frozenset({"socks5", "socks5h"})
_SOCKS_PACKAGES = ("socksio", "aiohttp_socks")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that can be used."""

    url: str
    """With its user and password, if any: not to be shown."""

    @property
    def is_socks(self) -> bool:
        """True where it speaks SOCKS, and not HTTP."""
        return urlsplit(self.url).scheme in SOCKS


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy on the way to a URL; `None` where the way is direct.

    Raises:
        MissingExtraError: It is a SOCKS proxy, and the `socks` extra is not installed.
        ConfigError: It is of a kind that is not supported, or its URL cannot be read.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None  # whoever connects says what is wrong with it
    if is_loopback(host) or _is_bypassed(host, port):
        return None
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return _usable(found, host) if found else None


def open_url(url: str, *, seconds: float) -> IO[bytes]:
    """Open a URL by HTTP, directly where that is the way; close what is returned.

    Raises:
        OSError: The server does not answer.
        ConfigError: As for `proxy_for`.
    """
    handlers = [urllib.request.ProxyHandler({})] if proxy_for(url) is None else []
    return cast("IO[bytes]", urllib.request.build_opener(*handlers).open(url, timeout=seconds))


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine: `localhost`, 127.0.0.0/8, ::1, or the unspecified address."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _usable(proxy: str, host: str) -> Proxy:
    url = proxy if "://" in proxy else f"http://{proxy}"
    url = f"socks5h{url[5:]}" if url.startswith("socks://") else url  # as desktops write it
    where, direct = "the environment's proxy", f"or NO_PROXY={host}."
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        parts, place = None, "it"
    if parts is None or not parts.hostname or parts.scheme not in HTTP | SOCKS:
        hint = f"Set HTTPS_PROXY or ALL_PROXY to an http, https or socks5 URL, {direct}"
        raise ConfigError(f"{place} cannot be used", where=where, hint=hint)
    if parts.scheme in SOCKS and not all(find_spec(name) for name in _SOCKS_PACKAGES):
        raise MissingExtraError(
            f"{place} needs the `socks` extra", where=where, hint=f"pip install 'sale[socks]', {direct}"
        )
    return Proxy(url)


def _is_bypassed(host: str, port: int | None) -> bool:
    named = f"[{host}]" if ":" in host else host
    if proxy_bypass(host) or (port and proxy_bypass(f"{named}:{port}")):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(_holds(entry.strip(), address) for entry in getproxies().get("no", "").split(","))


def _holds(network: str, address: object) -> bool:
    try:
        return address in ip_network(network.strip("[]"), strict=False)
    except (ValueError, TypeError):
        return False
