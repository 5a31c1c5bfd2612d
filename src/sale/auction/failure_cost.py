"""The quality that a task demands by what a failure on it costs: a pure function of weights.

Failed work that is handed in may cost more than its price: a wrong invoice, an outage. Of an agent with the chance p
the expected worth is p · worth − (1 − p) · failure − cost. But for a constant that is (worth + failure) · p − cost: the
cost of a failure adds to what a solved task is worth, for every comparison of bids, for what an auction is worth, and
for plans of several attempts, since each ends with exactly one answer handed in. Only where work broke off may the
market hand in nothing, at no cost: another attempt then has to be worth the cost of a failure more.

So an agent that is less likely to succeed must be cheaper by the difference in chances times both: that is the floor
under its quality. Before weights are fitted there is no p in dollars; there the track record stands for it, which the
prior counts in the same unit.
"""

from __future__ import annotations

from dataclasses import replace

from sale.types import MICRO, Weights


def with_failure_cost(weights: Weights, dollars: float) -> Weights:
    """Weights that count what a failure costs.

    Args:
        weights: In force.
        dollars: Of a failure that is handed in, beside the cost of the work; 0 changes nothing.
    """
    if dollars == 0.0:
        return weights
    if weights.model is None:
        return replace(weights, track=weights.track + dollars * MICRO)
    return replace(weights, model=replace(weights.model, worth=weights.model.worth + dollars * MICRO))
