"""The result of a task, and its estimated cost without a market: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sale.auction.protocols import Bidder
from sale.types import Attempt, Auction, Baseline, Execution, Price, Result, Settlement, Usage


def always_largest(name: str, price: Price, executions: Sequence[Execution]) -> Baseline:
    """The same work at the largest agent's prices, without an auction: an estimate, unless it did the work.

    Tools cost the same whoever uses them.
    """
    own = next((one for one in executions if one.agent == name), None)
    done = own or executions[-1]
    usage = sum((call.usage for call in done.calls), Usage())
    return Baseline(
        agent=name,
        dollars=price.dollars(usage) + Settlement(calls=done.calls).tool_dollars,
        basis="its own execution" if own else f"the tokens {done.agent} took, at {name}'s price",
    )


def result_of(auction: Auction, attempts: Sequence[Attempt], largest: Bidder, *, seconds: float) -> Result:
    """Add up what a task cost, and compare it with always using the largest agent.

    Args:
        auction: Who was awarded the task.
        attempts: The work and how it came out; at least one, the last is the one that counts.
        largest: The agent that is compared with.
        seconds: From the task to its result.
    """
    *earlier, last = attempts
    calls = [call for one in attempts for call in (*one.execution.calls, *one.outcome.calls)]
    return Result(
        auction=auction,
        execution=last.execution,
        outcome=last.outcome,
        settlement=replace(auction.settlement, calls=(*auction.settlement.calls, *calls)),
        always_largest=always_largest(largest.name, largest.price, [one.execution for one in attempts]),
        seconds=seconds,
        attempts=tuple(earlier),
    )
