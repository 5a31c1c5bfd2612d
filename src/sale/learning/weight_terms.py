"""Everything that weights say, number by number, for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sale.types import Weights

EXPLAINED: Mapping[str, str] = {
    "weight": "How much each part of a bid counts: its cost, its entropy, and how its agent did at like tasks.",
    "per juror's point": "What one point of a juror, of 0 to 5, adds to the value of a bid, in millionths of a dollar.",
    "micro-dollars": "What a solved task is worth, and what an auction costs on average, in millionths of a dollar.",
    "log-odds per unit": (
        "What the chance of success rests on: above 0 raises it, below 0 lowers it. In log-odds: 0.7 more doubles the "
        "odds."
    ),
    "log-odds": "How much harder or easier a task may be for all agents than it looks; 0: not at all. In log-odds.",
    "intercept": "Where the chance of each agent starts, before its bid counts: the larger, the likelier. In log-odds.",
    "micro-dollars of work": "What the work of each agent costs on average, in millionths of a dollar a task.",
    "spread of bids": "How far its bids move the chance of each agent; 0: they tell nothing. In log-odds.",
}
"""By group: the meaning of its numbers, in plain English."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightTerm:
    """One number of weights, among others of its kind."""

    group: str
    name: str
    value: float

    @property
    def explained(self) -> str:
        """The meaning of the numbers of its group."""
        return EXPLAINED[self.group]

    @property
    def label(self) -> str:
        """Both in one line."""
        return f"{self.group}: {self.name}"


def explain_decision(weights: Weights) -> str:
    """The rule by which these weights decide, in plain English."""
    if weights.model is None:
        return (
            "These numbers decide who gets a task: each bid has a cost, the price of its plan, and a value, by what "
            "the jury, entropy and past success say of it. The largest net, value less cost, wins."
        )
    return (
        "These numbers decide who gets a task: they give each bid a chance of success and an expected cost. The "
        "largest net wins: the chance × the worth of a task if solved, less the expected cost."
    )


def list_terms(weights: Weights) -> tuple[WeightTerm, ...]:
    """The weights of equation 3, or the success model's numbers, which decide in their place."""
    model = weights.model
    if model is None:
        return (
            *_group("weight", {"cost": weights.cost, "entropy": weights.entropy, "track record": weights.track}),
            *_group("per juror's point", weights.jurors),
        )
    return (
        *_group("micro-dollars", {"worth of a solved task": model.worth, "an auction": model.auction}),
        *_group("log-odds per unit", model.coefficients),
        *_group("log-odds", {"spread of how hard tasks are": model.difficulty}),
        *_group("intercept", model.intercepts),
        *_group("intercept", {"a newcomer": model.newcomer}),
        *_group("micro-dollars of work", model.work),
        *_group("spread of bids", model.spread),
    )


def _group(group: str, values: Mapping[str, float]) -> tuple[WeightTerm, ...]:
    return tuple(WeightTerm(group=group, name=name, value=value) for name, value in values.items())
