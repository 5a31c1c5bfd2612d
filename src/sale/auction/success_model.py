"""P̂(success) of a bid by a fitted model: the features and the sum, as pure functions.

The model is `sale.types.SuccessModel`; fitting it is `sale.learning`'s, and uses these same features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sale.types import Score, Strategy, SuccessModel, TrackRecord

ENTROPY, LENGTH, TRACK = "entropy", "length", "track"
STEEPEST = 30.0
"""Log-odds beyond this are as good as certain, and larger ones would overflow."""


def juror_feature(juror: str) -> str:
    """The name of a juror's score among the features."""
    return f"juror:{juror}"


def lead_feature(juror: str) -> str:
    """The name, among the features, of a juror's score less the best it gave another bid on the task."""
    return f"lead:{juror}"


def bid_features(strategy: Strategy | None, scores: Sequence[Score]) -> dict[str, float]:
    """Return the features of a bid: entropy and length of its plan, scores and their leads; empty without a bid.

    A juror that had nothing to read in the bid tells nothing: its features are left out.
    """
    if strategy is None:
        return {}
    found: dict[str, float] = {}
    if strategy.text:
        found[LENGTH] = math.log(max(1, strategy.tokens))
    if strategy.entropy is not None:
        found[ENTROPY] = strategy.entropy.normalised
    spoken = [score for score in scores if not score.abstained]
    found |= {juror_feature(score.juror): score.value for score in spoken}
    found |= {lead_feature(score.juror): score.lead for score in spoken if score.lead is not None}
    return found


def strategy_told(strategy: Strategy, scores: Sequence[Score]) -> Strategy | None:
    """Return a bid's strategy as a model is asked about it; `None` where it tells nothing: no plan, and no score."""
    return strategy if strategy.text or scores else None


def track_feature(track: TrackRecord, rate: float, prior_evidence: float) -> float:
    """Log-odds of a track record, smoothed towards the agent's own rate.

    Args:
        track: The record.
        rate: In (0, 1).
        prior_evidence: How many tasks the rate stands for.
    """
    good = track.successes + prior_evidence * rate
    bad = track.failures + prior_evidence * (1.0 - rate)
    return math.log(good / bad)


def chance(
    model: SuccessModel,
    agent: str,
    *,
    strategy: Strategy | None = None,
    scores: Sequence[Score] = (),
    track: TrackRecord | None = None,
) -> float:
    """P̂(success), in (0, 1). Without a strategy: what is to be expected before any bid is made."""
    features = bid_features(strategy, scores)
    scale = 1.0 if features else 1.0 / shrinkage(bid_spread(model, agent))
    if track is not None:
        features[TRACK] = track_feature(track, model.rates.get(agent, model.newcomer_rate), model.prior_evidence)
    odds = model.intercepts.get(agent, model.newcomer) + weigh_features(features, model.coefficients, model.means)
    return logistic(scale * odds)


def bid_spread(model: SuccessModel, agent: str) -> float:
    """Standard deviation of what a bid of the agent adds to its log-odds; of a newcomer, the most of the others'."""
    return model.spread.get(agent, max(model.spread.values(), default=0.0))


def shrinkage(spread: float) -> float:
    """Return the number that log-odds are divided by where nothing was read yet in a bid that tells so much.

    The mean of P̂ over all that the bid may say lies nearer to one half than P̂ of an average bid: for a normal deviate
    about as by this number (MacKay, Neural Computation 1992). Without it the worth at which an agent is hired by its
    track record would be too high, and auctions would seem to pay before anybody is hired without one.
    """
    return math.sqrt(1.0 + math.pi / 8.0 * spread**2)


def weigh_features(
    features: Mapping[str, float], coefficients: Mapping[str, float], means: Mapping[str, float]
) -> float:
    """Σ coefficient · (feature − mean), over the features that are known: an unknown one is at its mean."""
    return math.fsum(
        coefficient * (features[name] - means.get(name, 0.0))
        for name, coefficient in coefficients.items()
        if name in features
    )


def logistic(log_odds: float) -> float:
    """1 / (1 + e^−x)."""
    return 1.0 / (1.0 + math.exp(-max(-STEEPEST, min(STEEPEST, log_odds))))


def expected_work(model: SuccessModel, agent: str, price: float, track: TrackRecord | None = None) -> float:
    """Return the expected cost of an agent's work in micro-dollars: as at similar tasks, smoothed to its mean.

    Args:
        model: Knows the agent's mean.
        agent: Its name.
        price: π, for an agent not known.
        track: Its record at similar tasks, with their cost.
    """
    mean = model.work.get(agent, price * model.newcomer_tokens)
    if track is None:
        return mean
    return (model.prior_evidence * mean + track.spent) / (model.prior_evidence + track.costed)
