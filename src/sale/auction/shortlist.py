"""The choice of agents that are asked for a plan: those whose plan could change the award, by what is free to know.

Track records, prices, and jurors that cost nothing rank the agents before any plan is written. So the cost of an
auction is bounded as the pool grows. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence

from sale.auction import scoring
from sale.auction.protocols import Look
from sale.types import Bid, Strategy

NO_PLAN = "no plan was asked for"


def make_unplanned(agent: str, found: Look | None = None) -> Strategy:
    """Return an agent's bid before it has planned: empty, or with the evidence of its looks."""
    return Strategy(
        agent=agent,
        text="",
        tokens=0,
        entropy=None,
        entropy_note=NO_PLAN,
        evidence=found.evidence if found is not None else (),
        evidence_note=found.note if found is not None else None,
    )


def shortlist(bids: Sequence[Bid], size: int | None) -> tuple[str, ...]:
    """The agents that are asked, in the order given: all, or those with the best bids.

    Args:
        bids: What each agent is worth before it plans.
        size: How many; all where `None`.
    """
    best = {bid.agent for bid in scoring.rank(bids)[:size]}
    return tuple(bid.agent for bid in bids if bid.agent in best)
