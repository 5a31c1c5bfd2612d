"""Conversations in shadow and canary: a row for each with the cost of both sides, written behind like the ledger.

In the arm `shadow` the incumbent does the work, and an auction beside it says who would have. In the arm `canary` the
market does the work, and the incumbent is who would have. Tokens are counted as they come; the other's bill is taken to
be the same tokens at its price.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, select, update

from sale.errors import StoreError
from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import shadow
from sale.storage.writing import add
from sale.types import Price, Usage

Arm = Literal["shadow", "canary"]
WRITE_SECONDS: Final = 0.25
QUEUE: Final = 20_000
"""The most changes that wait to be written; then the oldest is lost, and the log says so."""
MILLION: Final = 1_000_000
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowConversation:
    """A conversation, with the work that was done and the agent that would have done it otherwise."""

    id: str
    """Of the auction's record that its work is settled on."""
    session_id: str
    key_id: str | None
    arm: Arm
    began: datetime
    agent: str
    """The agent that does the work: the incumbent, or in the canary the market's winner."""
    other: str | None = None
    """The agent that would have; `None` until it is known."""
    auction_id: str | None = None
    """The record of the auction that was held for this."""
    auction_dollars: float = 0.0
    note: str | None = None
    """The reason where it is not known who would have done the work."""
    turns: int = 0
    """Requests that were answered."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens, those read from a prompt cache."""
    work_dollars: float = 0.0
    """Spent on the work, failed calls included."""
    price_input: float = 0.0
    """The other's, in dollars per million tokens."""
    price_output: float = 0.0
    price_cached: float = 0.0

    @property
    def decided(self) -> bool:
        """True where it is known who would have done the work, and some was done."""
        return self.other is not None and self.turns > 0

    @property
    def other_dollars(self) -> float:
        """The cost of the same tokens at the other's price."""
        price = Price(input=self.price_input, output=self.price_output, blended=0.0, cached=self.price_cached)
        usage = Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens)
        return price.dollars(usage, cached=self.cached_tokens)

    @property
    def incumbent_dollars(self) -> float:
        """The cost with the incumbent."""
        return self.work_dollars if self.arm == "shadow" else self.other_dollars

    @property
    def market_dollars(self) -> float:
        """The cost with the market, its auction included."""
        return self.auction_dollars + (self.other_dollars if self.arm == "shadow" else self.work_dollars)

    @property
    def saved(self) -> float:
        """Dollars that the market saves, or would have; negative where it costs more."""
        return self.incumbent_dollars - self.market_dollars


Change = tuple[str, Mapping[str, Any]]
"""The id of a row, and what is added to its numbers or set in it; or the whole of a new row."""
COUNTED: Final = frozenset({"turns", "input_tokens", "output_tokens", "cached_tokens", "work_dollars"})


class ShadowLedger:
    """The rows, queued in memory and written in batches."""

    def __init__(self, database: StoreDatabase) -> None:
        """To be made inside a running event loop."""
        self._database = database
        self._changes: deque[Change] = deque()
        self._writing = asyncio.Lock()
        self._pulse = PeriodicTask(WRITE_SECONDS, self._write, "writing the shadow's ledger")

    def begin(self, conversation: ShadowConversation) -> None:
        """Add a row."""
        self._put("", asdict(conversation))

    def count_call(self, row: str, usage: Usage, *, cached: int, dollars: float, answered: bool) -> None:
        """A call for a conversation has ended; one that failed costs, but the other would not have made it.

        Args:
            row: The conversation's. Where there is none, nothing is counted.
            usage: Tokens it took.
            cached: Of the input tokens, those read from a prompt cache.
            dollars: Its cost.
            answered: Whether it answered the request.
        """
        tokens = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": min(cached, usage.input_tokens),
        }
        self._put(row, {"work_dollars": dollars, **(tokens | {"turns": 1} if answered else {})})

    def decide(self, row: str, *, other: str, price: Price, auction_id: str, dollars: float) -> None:
        """It is known who would have done the work.

        Args:
            row: The conversation's.
            other: The agent.
            price: Its price.
            auction_id: The auction's record.
            dollars: The cost of the auction.
        """
        kept = price.dollars(Usage(input_tokens=MILLION), cached=MILLION)
        prices = {"price_input": price.input, "price_output": price.output, "price_cached": kept}
        self._put(row, {"other": other, "auction_id": auction_id, "auction_dollars": dollars, **prices})

    def leave_open(self, row: str, note: str, dollars: float = 0.0) -> None:
        """It will not be known who would have done the work.

        Args:
            row: The conversation's.
            note: The reason.
            dollars: Spent all the same.
        """
        self._put(row, {"note": note, "auction_dollars": dollars})

    def _put(self, row: str, change: Mapping[str, Any]) -> None:
        while len(self._changes) >= QUEUE:
            self._changes.popleft()
            log.warning("the shadow's ledger cannot be written as fast as it grows: its report is not whole")
        self._changes.append((row, change))

    async def _write(self) -> None:
        """Write what waits, to the end even if the caller leaves: what cannot be written waits on."""
        await self._database.finish(self._write_waiting())

    async def _write_waiting(self) -> None:
        async with self._writing:
            batch, self._changes = self._changes, deque()
            try:
                if batch:
                    await self._database.write(lambda connection: _apply(connection, batch))
            except BaseException:  # whatever it was: only what is written may be forgotten
                self._changes.extendleft(reversed(batch))
                raise

    async def conversations(self, since: datetime | None = None) -> tuple[ShadowConversation, ...]:
        """The conversations that began since then, the oldest first.

        Raises:
            StoreError: The database cannot be written or read.
        """
        await self._write()
        asked = select(shadow).order_by(shadow.c.began, shadow.c.id)
        asked = asked if since is None else asked.where(shadow.c.began >= since)
        return await self._database.read(
            lambda connection: tuple(ShadowConversation(**row) for row in connection.execute(asked).mappings())
        )

    async def close(self) -> None:
        """Write what waits.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._pulse.close()
        try:
            await self._write()
        except StoreError as error:
            raise StoreError(
                f"{len(self._changes)} changes of the shadow's ledger could not be written: {error.message}",
                where=error.where,
                hint=error.hint,
            ) from error


def _apply(connection: Connection, batch: Iterable[Change]) -> None:
    for row, change in batch:
        if not row:
            add(connection, shadow, [change])
            continue
        values = {name: shadow.c[name] + value if name in COUNTED else value for name, value in change.items()}
        connection.execute(update(shadow).where(shadow.c.id == row).values(values))
