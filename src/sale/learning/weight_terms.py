"""Everything that weights say, number by number, for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sale.types import Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightTerm:
    """One number of weights, among others of its kind."""

    group: str
    name: str
    value: float

    @property
    def label(self) -> str:
        """Both in one line."""
        return f"{self.group}: {self.name}"


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
