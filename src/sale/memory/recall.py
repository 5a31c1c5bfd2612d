"""Recall for a present task: pairs to learn from, the agents' track records, similar past auctions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from sale.memory import queries
from sale.memory.index_sync import SyncedIndex
from sale.memory.records import SearchMatch
from sale.memory.retrieval import Vector
from sale.memory.tenants import DEFAULT, Sharing, TenantMemory
from sale.types import Pair, Task, TrackRecord


class RecallQueries:
    """The part of `AuctionMemory` that auctions ask."""

    _follower: SyncedIndex
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
        return await self._follower.pairs(
            task.text, tuple(agents), k, tenants=readable, require_success=require_success
        )

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
        return await self._follower.tracks(task.text, tuple(agents), tenants=self._sharing.countable_tenants(tenant))

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

        def look(connection: Connection, vector: Vector) -> tuple[SearchMatch, ...]:
            near = self._follower.index.similar(vector, k, tenants=tenants)
            found = queries.find_by_keys(connection, [key for key, _ in near])
            return tuple(SearchMatch(summary=found[key], similarity=likeness) for key, likeness in near if key in found)

        return await self._follower.ask(text, look)
