"""Where a model answers, and how requests there differ. Apart from the client that asks, which is slow to load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydantic import SecretStr


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestShape:
    """Differences of the requests to one endpoint from what the protocol says."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further headers."""
    secret_headers: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    """Further headers whose values are keys."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters added to the address after `?`."""
    body: Mapping[str, object] = field(default_factory=dict[str, object])
    """Further fields of the body; they replace what is there."""
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields of the body by the name they have, with the name the endpoint knows."""
    drop: frozenset[str] = frozenset()
    """Fields of the body that are left out."""
    effort: str | None = None
    """The reasoning effort of every request; the model's own unless given."""
    unsaid: frozenset[str] = frozenset()
    """Fields that the market's own requests leave out; what a client sends is sent on."""

    @property
    def all_headers(self) -> dict[str, str]:
        """Every further header, with the values of those that are keys."""
        return {**self.headers, **{name: value.get_secret_value() for name, value in self.secret_headers.items()}}

    def reshape(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return the body as this endpoint wants it: fields dropped, then renamed, then added."""
        given = body if self.effort is None else {**body, EFFORT: self.effort}
        kept = {
            self.rename.get(name, name): value for name, value in given.items() if name not in self.drop | self.unsaid
        }
        return {**kept, **self.body}


EFFORT = "reasoning_effort"
"""The field of a chat completion that holds the reasoning effort."""
PLAIN = RequestShape()
"""Requests as the protocol has them, without changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a model answers."""

    base_url: str
    model: str
    api_key: SecretStr | None = None
    shape: RequestShape = PLAIN


@runtime_checkable
class Located(Protocol):
    """A model that answers at an address."""

    async def address(self) -> Address:
        """Where; found, and for the embedded pool loaded, if need be."""
        ...
