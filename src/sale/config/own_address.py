"""Endpoints of agents at the address that the server itself has: an agent that is the market would ask itself."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from sale.config.proxies import is_loopback
from sale.config.settings import Settings
from sale.errors import ConfigError

PORTS = {"http": 80, "https": 443}
"""Of addresses that name none."""


def own_endpoints(settings: Settings, port: int | None = None) -> dict[str, str]:
    """Return the tables of `sale.toml` whose endpoint is the server's own address, each with that endpoint.

    Args:
        settings: Everything.
        port: The port the server has; the one in the settings unless given.
    """
    server = settings.server
    port = server.port if port is None else port
    found = {f"agent {one.name!r}": one.endpoint or one.base_url for one in settings.agents}
    found["[server.embeddings]"] = server.embeddings.endpoint if server.embeddings is not None else None
    found["[server] alarm_url"] = server.alarm_url
    return {place: url for place, url in found.items() if url is not None and _leads_to(url, server.host, port)}


def refuse_own_endpoints(settings: Settings, port: int) -> None:
    """Refuse settings with which the server would ask itself.

    Raises:
        ConfigError: An endpoint is its own address.
    """
    for place, url in own_endpoints(settings, port).items():
        raise ConfigError(
            f"{url} is the address of this server, which would ask itself",
            where=place,
            hint="Give the address of what answers, or another port to the server.",
        )


def _leads_to(url: str, host: str, port: int) -> bool:
    parts = urlsplit(url)
    if parts.hostname is None or (parts.port or PORTS.get(parts.scheme)) != port:
        return False
    asked, host = parts.hostname.lower(), host.lower()
    if asked == host:
        return True
    if _is_unspecified(host):
        return is_loopback(asked) or asked == socket.gethostname().lower()
    return "localhost" in {asked, host} and is_loopback(asked) and is_loopback(host)


def _is_unspecified(host: str) -> bool:
    """Return whether a server at this address listens at all addresses of its machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
