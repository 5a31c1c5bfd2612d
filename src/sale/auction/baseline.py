"""The result of a task, and its estimated cost without a market: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from sale.auction.protocols import Bidder, PricedPerTask
from sale.types import OWN_WORK, Attempt, Auction, Baseline, Execution, Price, Result, Settlement, Usage


def always_largest(
    name: str, price: Price, executions: Sequence[Execution], *, per_task: float | None = None
) -> Baseline:
    """The same work by the largest agent, without an auction: an estimate, unless it did the work.

    Tools cost the same whoever uses them.

    Args:
        name: The largest agent.
        price: Of its tokens.
        executions: The work, in order.
        per_task: Dollars it asks for an execution, where it has such a price.
    """
    own = next((one for one in executions if one.agent == name), None)
    if own is not None:
        return Baseline(agent=name, dollars=math.fsum(call.dollars for call in own.calls), basis=OWN_WORK)
    done = executions[-1]
    tools = Settlement(calls=done.calls).tool_dollars
    if per_task is not None:
        return Baseline(agent=name, dollars=per_task + tools, basis="its price for a task")
    usage = sum((call.usage for call in done.calls), Usage())
    return Baseline(
        agent=name,
        dollars=price.dollars(usage) + tools,
        basis=f"the tokens {done.agent} took, at {name}'s price",
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
    per_task = largest.price_per_task if isinstance(largest, PricedPerTask) else None
    calls = [call for one in attempts for call in (*one.execution.calls, *one.outcome.calls)]
    return Result(
        auction=auction,
        execution=last.execution,
        outcome=last.outcome,
        settlement=replace(auction.settlement, calls=(*auction.settlement.calls, *calls)),
        always_largest=always_largest(
            largest.name, largest.price, [one.execution for one in attempts], per_task=per_task
        ),
        seconds=seconds,
        attempts=tuple(earlier),
    )
