"""The reason why an auction went as it did: the winner's lead over the next agent, and the parts it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sale.auction import scoring
from sale.types import Auction


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """The winner's lead over the best bid of any other agent."""

    winner: str
    runner_up: str
    net: float
    """The difference of the two nets (V − C), in millionths of a dollar."""
    parts: Mapping[str, float]
    """Its parts, which add up to it: `jury`, `entropy`, `past success` as far as they count, and `cost`."""

    def describe(self, micro: Callable[[float], str]) -> str:
        """The lead in a sentence.

        Args:
            micro: Formats millionths of a dollar; parts that look like 0 are left out.
        """
        parts = {name: _signed(micro(part)) for name, part in self.parts.items() if micro(abs(part)) != micro(0.0)}
        if not parts:
            return (
                f"{self.winner} and {self.runner_up} are level: the lower price wins, then the name that sorts first."
            )
        told = ", ".join(f"{name} {part}" for name, part in parts.items())
        return f"{self.winner} is ahead of {self.runner_up} by {micro(self.net)}: {told}."


def measure_lead(auction: Auction) -> Lead | None:
    """Return the winner's lead.

    `None` where no other agent bid, the award did not follow the nets, or V is not a sum of its grounds: with a success
    model, or under a scoring rule of one's own.
    """
    won = auction.winner
    others = scoring.rank(bid for bid in auction.contenders if bid.agent != won.agent)
    if not others or won.net_cost > others[0].net_cost:
        return None
    mine, theirs = (scoring.split_value(bid, auction.weights) for bid in (won, others[0]))
    if mine is None or theirs is None:
        return None
    parts = {name: part - theirs[name] for name, part in mine.items()} | {"cost": others[0].cost - won.cost}
    return Lead(winner=won.agent, runner_up=others[0].agent, net=others[0].net_cost - won.net_cost, parts=parts)


def _signed(text: str) -> str:
    return text if text.startswith("−") else f"+{text}"
