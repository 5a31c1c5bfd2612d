"""Awards that explore: a bounded share of them goes to another bid than the best, so that others' outcomes are seen.

Off unless a share is given. Who may be tried is bounded by what it may cost more, and the probability of every award is
known, which is what `compare` needs to say what other weights would have done. Pure: chance enters by a seed alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from sale.auction.scoring import rank
from sale.errors import InputError
from sale.types import Bid, Exploration


def explore(
    best: Bid, others: Sequence[Bid], work: Mapping[str, float], *, share: float = 0.0, most_dollars: float = math.inf
) -> Exploration:
    """Propensities over the agents of some bids.

    Args:
        best: The bid that would be awarded.
        others: The other bids. An agent that bid twice takes part with the better bid.
        work: By agent, what its work is expected to cost, in dollars. An agent that is not named is not tried.
        share: Of awards that may explore, in [0, 1]: shared evenly by all that may be tried, the best among them.
        most_dollars: Who is expected to cost more than this above the best bid is not tried.

    Raises:
        InputError: `share` or `most_dollars` out of range.
    """
    if not 0.0 <= share <= 1.0 or not most_dollars >= 0.0:
        raise InputError(
            f"share must lie in [0, 1] and most_dollars must not be negative, got {share!r} and {most_dollars!r}"
        )
    by_agent = {best.agent: best}
    for bid in rank(others):
        by_agent.setdefault(bid.agent, bid)
    base = work.get(best.agent)
    tried = [
        agent
        for agent in by_agent
        if agent != best.agent and base is not None and agent in work and work[agent] - base <= most_dollars
    ]
    each = share / (1 + len(tried))
    propensities = dict.fromkeys(by_agent, 0.0) | dict.fromkeys(tried, each)
    propensities[best.agent] = 1.0 - each * len(tried)
    lost = [(best.chance, by_agent[agent].chance) for agent in tried]
    known = [(ours, theirs) for ours, theirs in lost if ours is not None and theirs is not None]
    return Exploration(
        best=best.agent,
        propensities=propensities,
        extra_dollars=math.fsum(each * (work[agent] - work[best.agent]) for agent in tried),
        lost_success=math.fsum(each * (ours - theirs) for ours, theirs in known) if len(known) == len(lost) else None,
    )


def draw(propensities: Mapping[str, float], seed: str) -> str:
    """An agent drawn by its propensity; the same seed draws the same.

    Args:
        propensities: By agent, summing to 1.
        seed: One of its own for each auction, for example its id.
    """
    agents = sorted(agent for agent, p in propensities.items() if p > 0.0)
    lot = random.Random(seed).random()  # noqa: S311 - a lottery among agents, no secret
    for agent in agents:
        lot -= propensities[agent]
        if lot < 0.0:
            return agent
    return agents[-1]
