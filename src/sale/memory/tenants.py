"""Tenants: the owner of each record, and those who may read its texts.

Every auction belongs to one tenant. Recall gives texts of the asker's own tenant alone, unless whoever runs the memory
shares on purpose. Numbers are another matter: how often an agent succeeded at like tasks, and what that cost, is
counted over all tenants unless that is turned off, since it repeats no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sale.errors import InputError
from sale.types import Pair, Task, TrackRecord

DEFAULT: Final = "default"
"""The tenant of everything that names none: the command line, programs, servers without keys, records from before."""
MAX_NAME_CHARACTERS: Final = 64


def is_name(name: str) -> bool:
    """Return whether a tenant can have this name: printable, not too long, no space before or after it."""
    return 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable() and name == name.strip()


def check_name(name: str) -> str:
    """A tenant's name as it was given.

    Raises:
        InputError: It cannot be one.
    """
    if is_name(name):
        return name
    raise InputError(
        f"{name[: MAX_NAME_CHARACTERS + 1]!r} cannot be the name of a tenant",
        hint=f"A name has 1 to {MAX_NAME_CHARACTERS} printable characters, and no space before or after them.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """The sharing of texts and numbers between tenants."""

    texts: bool | frozenset[str] = False
    """Tenants that see each other's tasks and plans: none, all, or those named."""
    statistics: bool = True
    """True where track records count the work of all tenants."""

    def readable_tenants(self, tenant: str) -> frozenset[str] | None:
        """The tenants whose texts this one may be shown; `None` for all."""
        if self.texts is True:
            return None
        if self.texts and tenant in self.texts:
            return self.texts
        return frozenset({tenant})

    def countable_tenants(self, tenant: str) -> frozenset[str] | None:
        """The tenants whose work counts in this one's track records; `None` for all."""
        return None if self.statistics else self.readable_tenants(tenant)


class _RecallSource(Protocol):
    """An auction memory, as a tenant's part of it needs it."""

    async def recall_each(
        self, task: Task, agents: Sequence[str], k: int, *, tenant: str
    ) -> Mapping[str, tuple[Pair, ...]]: ...

    async def track_records(self, task: Task, agents: Sequence[str], *, tenant: str) -> Mapping[str, TrackRecord]: ...


@dataclass(frozen=True, slots=True)
class TenantMemory:
    """The auction memory as one tenant's auctions use it."""

    memory: _RecallSource
    tenant: str

    async def recall_each(self, task: Task, agents: Sequence[str], k: int) -> Mapping[str, tuple[Pair, ...]]:
        """As the memory's."""
        return await self.memory.recall_each(task, agents, k, tenant=self.tenant)

    async def track_records(self, task: Task, agents: Sequence[str]) -> Mapping[str, TrackRecord]:
        """As the memory's."""
        return await self.memory.track_records(task, agents, tenant=self.tenant)
