"""The exchange of memory and learning: weights by version one way, past auctions as examples the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sale.memory import weight_versions
from sale.memory.checked_answers import read_checked_answers
from sale.memory.database import MemoryDatabase
from sale.memory.examples import read_examples
from sale.memory.queries import read_verdicts
from sale.memory.records import WeightUse
from sale.memory.remembered_work import RememberedWork, read_imported_work
from sale.types import CheckedAnswer, Example, Training, Verdict, Weights, WeightSet


class LearningQueries:
    """The part of `AuctionMemory` that learning uses."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Use `AuctionMemory.open`."""
        self._database = database
        self._weights: WeightSet | None = None

    async def add_weights(self, weights: Weights, training: Training) -> WeightSet:
        """Keep weights, as the next version. They decide nothing before `use_weights`.

        Args:
            weights: What was fitted. The `source` it is kept with is `weights <version>`.
            training: What they were fitted on.

        Raises:
            StoreError: The memory cannot be written.
        """
        return await self._database.write(lambda connection: weight_versions.add(connection, weights, training))

    async def verdicts(self, auction_ids: Sequence[str]) -> dict[str, Verdict]:
        """Return the latest verdict on each of these auctions; those that are not there or not judged are left out.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: read_verdicts(connection, auction_ids))

    async def use_weights(self, version: int | None) -> None:
        """Put a version in use, or the default weights again. What was in use when stays on record: `weight_uses`.

        Args:
            version: Which; `None`: the default ones.

        Raises:
            InputError: There is no such version.
            StoreError: The memory cannot be written.
        """
        await self._database.write(lambda connection: weight_versions.use(connection, version))

    async def weights_in_use(self) -> WeightSet | None:
        """The weights that decide auctions; `None`: the default ones.

        Raises:
            StoreError: The memory cannot be read.
        """
        self._weights = await self._database.read(lambda connection: weight_versions.in_use(connection, self._weights))
        return self._weights

    async def weight_sets(self) -> tuple[WeightSet, ...]:
        """Every version, the first one first.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(weight_versions.list_versions)

    async def weight_uses(self) -> tuple[WeightUse, ...]:
        """Which version was put in use when, oldest first; each counts until the next.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(weight_versions.list_uses)

    async def examples(self, since: datetime | None = None) -> tuple[Example, ...]:
        """Settled auctions to learn from, imported ones too, the oldest record first.

        Bids are those the award was made among: of each agent its refined one if that could win, else its first. `work`
        knows of those who executed and whose latest verdict is success or failure; its dollars are those of the
        execution's calls, without the auction's and the judging's. `winner` is who was awarded the task first.

        Args:
            since: Only auctions begun then or later.

        Raises:
            InputError: The time has no zone.
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: read_examples(connection, since))

    async def imported_work(self, embedder: str, since: datetime | None = None) -> tuple[RememberedWork, ...]:
        """Return the past work that was imported, the oldest record first, each with the vector of its task.

        Args:
            embedder: Name of the embedder whose vectors are wanted.
            since: Only work begun then or later.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: read_imported_work(connection, embedder, since))

    async def checked_answers(self, tenants: Collection[str] | None = None) -> tuple[CheckedAnswer, ...]:
        """Return the answers in the latest settled auctions with the verdicts of checks, and later verdicts of users.

        Args:
            tenants: Of their auctions; `None`: of all.

        Raises:
            StoreError: The memory cannot be read.
        """
        return await self._database.read(lambda connection: read_checked_answers(connection, tenants))
