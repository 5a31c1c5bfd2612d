"""Where a model answers. Apart from the client that asks there, which takes seconds to load."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol, runtime_checkable

from pydantic import SecretStr


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a model answers."""

    base_url: str
    model: str
    api_key: SecretStr | None = None


@runtime_checkable
class Located(Protocol):
    """A model that answers at an address."""

    async def address(self) -> Address:
        """Where; found, and for the embedded pool loaded, if need be."""
        ...


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine: `localhost`, 127.0.0.0/8, ::1, or the unspecified address."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
