"""Events of a market in lines, for people who watch from another program."""

from __future__ import annotations

from sale.auction.events import (
    AgentDropped,
    Awarded,
    BiddingOpened,
    Event,
    Judged,
    LeaderFound,
    StrategyArrived,
    WorkFinished,
    WorkStarted,
)
from sale.wording import quantity


def describe_event(event: Event) -> str | None:
    """An event in a line; `None` where it is not worth one."""
    match event:
        case BiddingOpened(agents=agents):
            return f"bidding has begun among {quantity(len(agents), 'agent')}"
        case StrategyArrived(strategy=strategy):
            return f"{strategy.agent} has a {'refined ' if strategy.refined else ''}plan"
        case AgentDropped(dropout=dropout):
            return f"{dropout.agent} dropped out: {dropout.reason}"
        case LeaderFound(leader=leader):
            return f"{leader.agent} leads"
        case Awarded(auction=auction):
            return f"the task goes to {auction.winner.agent}"
        case WorkStarted(agent=agent):
            return f"{agent} is at work"
        case WorkFinished(execution=execution):
            return f"{execution.agent} is done in {execution.seconds:.1f} s"
        case Judged(outcome=outcome):
            return f"outcome: {outcome.verdict}"
        case _:
            return None
