"""What a task would have cost without a market: pure."""

from __future__ import annotations

from collections.abc import Sequence

from sale.types import Baseline, Execution, Price, Settlement, Usage


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
