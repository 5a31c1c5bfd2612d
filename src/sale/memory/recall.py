"""Recall for a present task: pairs to learn from, the agents' track records, similar past auctions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection, func, select

from sale.memory import queries, vector_table
from sale.memory.database import MemoryDatabase
from sale.memory.index_sync import SyncedIndex, TextEncoder
from sale.memory.prior import PriorWork
from sale.memory.records import SearchMatch
from sale.memory.schema import tasks
from sale.memory.server_recall import ServerRecall
from sale.memory.tenants import DEFAULT, Sharing, TenantMemory
from sale.types import Pair, Task, TrackRecord

T = TypeVar("T")
log = logging.getLogger("sale.memory")
MANY_TASKS: Final = 100_000
"""Up to here, to compare with all of them in each process is fast and small enough."""


class RecallMethod(Protocol):
    """A way to find what is most similar: exactly in this process, or by a server. Both keep to the same rules."""

    @property
    def method(self) -> str:
        """The way it recalls, in words for a user."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes it takes of this process's memory."""
        ...

    async def pairs(
        self, text: str, agents: Sequence[str], k: int, *, tenants: Collection[str] | None, require_success: bool
    ) -> Mapping[str, tuple[Pair, ...]]:
        """Return each agent's pairs; see `RecallQueries.recall`."""
        ...

    async def tracks(
        self, text: str, agents: Sequence[str], *, tenants: Collection[str] | None
    ) -> Mapping[str, TrackRecord]:
        """Return each agent's track record; see `RecallQueries.track_records`."""
        ...

    async def search(
        self,
        text: str,
        k: int,
        *,
        tenants: Collection[str] | None,
        read: Callable[[Connection, Sequence[tuple[int, float]]], T],
    ) -> T:
        """Read the auctions of the k tasks most similar to a text, given as (key, similarity)."""
        ...


async def choose_recall(database: MemoryDatabase, encoder: TextEncoder, prior: PriorWork | None) -> RecallMethod:
    """Return the way to recall from this database: by the server where it has pgvector, else exactly, in this process.

    Why a server does not recall is told to the log: as a warning once there is so much on record that it matters.

    Args:
        database: Open.
        encoder: Of texts.
        prior: Work that counts in track records beside what is on record.

    Raises:
        StoreError: The database cannot be written.
    """
    if database.backend.path is not None:
        return SyncedIndex(database, encoder, prior)

    def prepare(connection: Connection) -> tuple[str | None, str, int]:
        obstacle = vector_table.find_obstacle(connection, encoder.dimensions)
        if obstacle is not None:
            return obstacle, "", connection.execute(select(func.count()).select_from(tasks)).scalar_one()
        return None, vector_table.register(connection, encoder.name, encoder.dimensions), 0

    obstacle, table, count = await database.write(prepare)
    if obstacle is None:
        return ServerRecall(database, encoder, table, prior)
    level = logging.WARNING if count > MANY_TASKS else logging.INFO
    log.log(level, "%s: %s. Recall is exact, and each process loads all vectors.", database.backend.where, obstacle)
    return SyncedIndex(database, encoder, prior, instead=obstacle)


class RecallQueries:
    """The part of `AuctionMemory` that auctions ask."""

    _recall: RecallMethod
    _sharing: Sharing

    def of(self, tenant: str) -> TenantMemory:
        """Return the part of the memory that one tenant may recall."""
        return TenantMemory(self, tenant)

    async def recall(
        self, task: Task, agent: str, k: int, *, tenant: str = DEFAULT, require_success: bool = False
    ) -> tuple[Pair, ...]:
        """Contrastive pairs for a refining agent, from the past tasks most similar to this one.

        From each past task, of those the agent bid on, one pair: its most recent auction that was awarded and not
        judged a failure. Texts are given as they were written; whoever renders a prompt must fence them.

        Args:
            task: The present one.
            agent: Who is to learn; at least one strategy of each pair is its own.
            k: How many pairs at most.
            tenant: Whose task it is: only what this tenant may read is recalled.
            require_success: Only from auctions whose work was judged a success; else unknown outcomes do too.

        Returns:
            The most similar first.

        Raises:
            StoreError: The memory cannot be read.
        """
        return (await self.recall_each(task, (agent,), k, tenant=tenant, require_success=require_success))[agent]

    async def recall_each(
        self, task: Task, agents: Sequence[str], k: int, *, tenant: str = DEFAULT, require_success: bool = False
    ) -> Mapping[str, tuple[Pair, ...]]:
        """`recall` for several agents, at the price of little more than one.

        Raises:
            StoreError: The memory cannot be read.
        """
        if k <= 0 or not agents:
            return dict.fromkeys(agents, ())
        readable = self._sharing.readable_tenants(tenant)
        return await self._recall.pairs(task.text, tuple(agents), k, tenants=readable, require_success=require_success)

    def countable_tenants(self, tenant: str) -> frozenset[str] | None:
        """The tenants whose work counts in this one's numbers; `None` for all."""
        return self._sharing.countable_tenants(tenant)

    async def track_records(
        self, task: Task, agents: Sequence[str], *, tenant: str = DEFAULT
    ) -> Mapping[str, TrackRecord]:
        """Return each agent's record at the past tasks most like this one; see `sale.memory.track_records`.

        Every execution on record, imported ones too, whose latest verdict is success or failure counts for the agent
        that executed it, by the similarity of its task; so does what was known beforehand. Work for other tenants
        counts too unless the memory was opened otherwise: these are numbers without texts.

        Args:
            task: The present one.
            agents: Whose records; with nothing on record, both counts are zero.
            tenant: Whose task it is.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._recall.tracks(task.text, tuple(agents), tenants=self._sharing.countable_tenants(tenant))

    async def search(self, text: str, k: int = 10, *, tenant: str | None = None) -> tuple[SearchMatch, ...]:
        """The latest auctions of the k tasks most similar to a text, the most similar first.

        Args:
            text: What is searched for.
            k: How many.
            tenant: Only this one's; `None`: everybody's, as who runs the memory may see them.

        Raises:
            StoreError: The memory cannot be read.
        """
        tenants = None if tenant is None else frozenset({tenant})

        def read(connection: Connection, near: Sequence[tuple[int, float]]) -> tuple[SearchMatch, ...]:
            found = queries.find_by_keys(connection, [key for key, _ in near])
            return tuple(SearchMatch(summary=found[key], similarity=likeness) for key, likeness in near if key in found)

        return await self._recall.search(text, k, tenants=tenants, read=read)
