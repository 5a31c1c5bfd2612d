"""One round of an auction: bids arrive, and every juror judges them as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace

from sale.auction.events import AgentDropped, StrategyArrived
from sale.auction.jury import Jury, JuryContext
from sale.auction.questions import Seat, ask_seats
from sale.types import Dropout, Strategy, Vote

Asked = Coroutine[object, object, Strategy | Dropout]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundResult:
    """The result of a round; strategies and dropouts stand in the order in which they came."""

    strategies: tuple[Strategy, ...]
    votes: tuple[Vote, ...]
    dropouts: tuple[Dropout, ...]

    @property
    def reasons(self) -> str:
        """Why agents dropped out, each with its name."""
        return "; ".join(f"{dropout.agent}: {dropout.reason}" for dropout in self.dropouts)

    def join(self, strategies: Iterable[Strategy], votes: Iterable[Vote]) -> RoundResult:
        """Add bids that took no part in the round, and earlier votes; of those, only votes on agents that have bid.

        Leads are measured against the others' votes: against those on an agent that dropped out every bid would look
        worse than it is.
        """
        bids = (*self.strategies, *strategies)
        agents = {strategy.agent for strategy in bids}
        known = (vote for vote in votes if vote.bidder in agents)
        return replace(self, strategies=bids, votes=(*known, *self.votes))


async def hold_round(sitting: JuryContext, asked: Sequence[Asked], jury: Jury, seats: Sequence[Seat]) -> RoundResult:
    """Collect strategies, and have the rubric's jury and the seats judge each as soon as they can."""
    strategies: list[Strategy] = []
    dropouts: list[Dropout] = []
    queues: tuple[_Queue, _Queue] = (asyncio.Queue(), asyncio.Queue())

    async def collect() -> None:
        async with asyncio.TaskGroup() as asking:
            for done in asyncio.as_completed([asking.create_task(one) for one in asked]):
                result = await done
                if isinstance(result, Dropout):
                    dropouts.append(result)
                    sitting.observe(AgentDropped(dropout=result))
                    continue
                strategies.append(result)
                sitting.observe(StrategyArrived(strategy=result))
                for queue in queues:
                    queue.put_nowait(result)
        for queue in queues:
            queue.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(collect())
        by_rubric = group.create_task(jury.sit(sitting, _drained(queues[0])))
        by_question = group.create_task(ask_seats(seats, sitting, _drained(queues[1])))
    votes = (*by_rubric.result(), *by_question.result())
    return RoundResult(strategies=tuple(strategies), votes=votes, dropouts=tuple(dropouts))


async def iterate_strategies(strategies: Iterable[Strategy]) -> AsyncIterator[Strategy]:
    """Strategies that are there already, as they are judged."""
    for strategy in strategies:
        yield strategy


async def keep_strategy(strategy: Strategy) -> Strategy | Dropout:
    """Return a bid that is made without a call of a model."""
    return strategy


_Queue = asyncio.Queue[Strategy | None]


async def _drained(queue: _Queue) -> AsyncIterator[Strategy]:
    while (strategy := await queue.get()) is not None:
        yield strategy
