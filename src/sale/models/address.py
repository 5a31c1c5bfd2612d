"""Where a model answers. Apart from the client that asks there, which takes seconds to load."""

from __future__ import annotations

from dataclasses import dataclass
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
