"""Costs, values, the winner: equations 2 to 6 of the method as pure functions of frozen values.

Same bids, same weights: same winner, whatever the order the bids came in. No input or output, no clock, no chance.

Units. π is in dollars per million tokens and |s| in tokens, so C is in micro-dollars times w_c; the weights w_h and
w_j say what a unit of entropy and a point of a juror are worth in the same unit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sale.auction.success_model import chance, expected_work, juror_feature, lead_feature, strategy_told
from sale.types import Bid, Price, Score, Strategy, TrackRecord, Vote, Weights

MAX_SCORE = 5
"""Jurors score from 0 to this."""

# The default weights, a stated prior for a pool nobody has fitted weights for yet. A unanimous jury's full marks are
# worth as much as PRIOR_BUDGET plans of PRIOR_PLAN_TOKENS tokens at the pool's highest price; entropy has a tenth.
PRIOR_BUDGET = 2.0
PRIOR_PLAN_TOKENS = 200
PRIOR_ENTROPY_SHARE = 0.1
PRIOR_EVIDENCE = 10.0
"""Factor by which a point given for what an agent found counts more than one given for a plan.

Chosen on dev tasks of the pool private knowledge: the bid whose evidence matches best solves half of the questions,
an agent drawn from those that look a third (docs/private-knowledge.md), so a lead of a quarter of a point takes a task
whatever the price.
"""
PRIOR_TRACK = 8.0
"""Worth of a success rate of 1 against one of 0, in such juries' full marks.

On the two pools on record, 220 tasks each, remembering only what its awards gave, the rule without it solves 35.5 and
24.5 of 100, with 1 part 36 and 32, with 8 it solves 42 and 39, and more adds little: base rates tell more than plans
(`python -m benchmarks.base_rates`).
"""
TRACK_EVIDENCE = 4.0
"""Tasks of which half succeeded that a track record is smoothed by."""
CACHE_NOTE = "without the incumbent's prompt cache"
"""Beginning of the note on a bid that pays for reading a conversation anew."""


def default_weights(
    prices: Mapping[str, Price], jurors: Sequence[str], *, evidence: Collection[str] = (), base_rates: bool = True
) -> Weights:
    """The prior for a pool: in proportion to its highest price, so that the unit of money does not matter.

    Args:
        prices: Every agent's price.
        jurors: The names of those who judge. With none, plans compete on cost and entropy alone.
        evidence: Those among them who read what an agent found and not its plan: `PRIOR_EVIDENCE`.
        base_rates: Whether track records count; without them this is the published rule.
    """
    highest = max((price.blended for price in prices.values()), default=0.0)
    worth = PRIOR_BUDGET * PRIOR_PLAN_TOKENS * (highest or 1.0)  # where all is free, any positive worth does
    points = (1.0 - PRIOR_ENTROPY_SHARE) * worth / MAX_SCORE
    finding = [juror for juror in jurors if juror in evidence]
    planning = [juror for juror in jurors if juror not in evidence]
    return Weights(
        cost=1.0,
        entropy=PRIOR_ENTROPY_SHARE * worth,
        jurors={
            **{juror: points / len(planning) for juror in planning},
            **{juror: PRIOR_EVIDENCE * points / len(finding) for juror in finding},
        },
        track=PRIOR_TRACK * worth if base_rates else 0.0,
        source="default",
    )


def cost_of(strategy: Strategy, price: float, weights: Weights) -> float:
    """C = w_c · π(a) · |s| (equation 2)."""
    return weights.cost * price * costed_tokens(strategy)


def costed_tokens(strategy: Strategy) -> int:
    """|s|; a bid without a plan is costed like a plan of `PRIOR_PLAN_TOKENS`, so that prices still count."""
    return strategy.tokens if strategy.text else PRIOR_PLAN_TOKENS


def value_of(strategy: Strategy, scores: Sequence[Score], weights: Weights) -> tuple[float, tuple[str, ...]]:
    """V = w_h · H(s) + Σ_j w_j · γ_j(s) (equation 3), and a note on anything done differently.

    Where H is unknown its term is left out and the juror weights are scaled up, so that the largest value a bid can
    reach stays w_h + 5·Σ w_j. A negative w_h lowers no ceiling, so nothing is scaled then.
    """
    jury = math.fsum(weights.jurors.get(score.juror, 0.0) * score.value for score in scores)
    if strategy.entropy is not None:
        return weights.entropy * strategy.entropy.normalised + jury, ()
    if weights.entropy == 0.0:
        return jury, ()
    ceiling = MAX_SCORE * math.fsum(weights.jurors.get(score.juror, 0.0) for score in scores)
    scale = 1.0 + max(weights.entropy, 0.0) / ceiling if ceiling > 0.0 else 1.0
    why = strategy.entropy_note or "no log-probabilities"
    note = f"entropy unknown ({why}): left out, and the jury counts {scale:.3g} times as much"
    return jury * scale, (note,)


def split_value(bid: Bid, weights: Weights) -> dict[str, float] | None:
    """Return the part of each ground in V, in its unit: `jury`, `entropy`, `past success`; only those that count.

    `None` where V is not their sum: with a success model, or under a scoring rule of one's own.
    """
    if weights.model is not None:
        return None
    entropy = 0.0
    if weights.entropy and bid.strategy.entropy is not None:
        entropy = weights.entropy * bid.strategy.entropy.normalised
    judged = value_of(bid.strategy, bid.scores, weights)[0] - entropy
    past = weights.track * (success_rate(bid.track) - 0.5)
    if not math.isclose(judged + entropy + past, bid.value, rel_tol=1e-6, abs_tol=1e-6):
        return None
    counts = {"jury": any(weights.jurors.values()), "entropy": weights.entropy != 0.0, "past success": weights.track}
    parts = {"jury": judged, "entropy": entropy, "past success": past}
    return {name: part for name, part in parts.items() if counts[name]}


def success_rate(track: TrackRecord | None) -> float:
    """Of an agent on like tasks, smoothed; one half where nothing is known."""
    if track is None:
        return 0.5
    return (track.successes + TRACK_EVIDENCE / 2) / (track.successes + track.failures + TRACK_EVIDENCE)


def weigh(
    strategy: Strategy, price: float, scores: Sequence[Score], weights: Weights, track: TrackRecord | None = None
) -> Bid:
    """A strategy and its scores become a bid with C and V; V may count its author's track record (`Weights.track`).

    With a success model among the weights C is what the work is expected to cost and V = worth · P̂(success), both in
    micro-dollars (objective `utility`, method section 3).
    """
    model = weights.model
    if model is None:
        cost, probability = cost_of(strategy, price, weights), None
        value, notes = value_of(strategy, scores, weights)
        value += weights.track * (success_rate(track) - 0.5)
    else:
        cost = expected_work(model, strategy.agent, price, track)
        told = strategy_told(strategy, scores)
        probability = chance(model, strategy.agent, strategy=told, scores=scores, track=track)
        value, notes = model.worth * probability, ()
    return Bid(
        strategy=strategy,
        price=price,
        cost=cost,
        value=value,
        scores=tuple(scores),
        notes=notes,
        track=track,
        chance=probability,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheKept:
    """Scoring in the middle of a conversation: all but the incumbent must read it anew, at the full price."""

    incumbent: str
    """The agent whose endpoint has the conversation in its prompt cache."""
    prefix_tokens: int
    """Tokens of the conversation so far."""
    prices: Mapping[str, Price]
    """Every agent's price: of input, and of input that was read from a cache."""
    rule: ScoringRule
    """The rule that scores bids otherwise."""

    def __call__(
        self,
        strategy: Strategy,
        price: float,
        scores: Sequence[Score],
        weights: Weights,
        track: TrackRecord | None,
        /,
    ) -> Bid:
        """The bid, with what reading without a cache costs over reading with one added to C, in its unit."""
        bid = self.rule(strategy, price, scores, weights, track)
        if (lost := self.measure_loss(bid.agent)) == 0.0:
            return bid
        note = f"{CACHE_NOTE}: {lost:.6g} micro-dollars more"
        worth = 1.0 if weights.model is not None else weights.cost
        return replace(bid, cost=bid.cost + worth * lost, notes=(*bid.notes, note))

    def measure_loss(self, agent: str) -> float:
        """Return the micro-dollars that an agent pays for reading the conversation over reading it from its cache."""
        if agent == self.incumbent:
            return 0.0
        price = self.prices[agent]  # dollars per million tokens are micro-dollars per token
        return self.prefix_tokens * max(0.0, price.input - price.cached_input)


def counts_lost_cache(bid: Bid) -> bool:
    """Return whether C of a bid holds the price of a lost prompt cache: another agent has the conversation."""
    return any(note.startswith(CACHE_NOTE) for note in bid.notes)


class ScoringRule(Protocol):
    """A function that can replace `weigh`. It must be pure."""

    def __call__(
        self,
        strategy: Strategy,
        price: float,
        scores: Sequence[Score],
        weights: Weights,
        track: TrackRecord | None,
        /,
    ) -> Bid:
        """A strategy, π, the strategy's scores, the weights and its author's track record to a bid."""
        ...


def is_published(rule: ScoringRule) -> bool:
    """Return whether a rule is `weigh`, with or without the price of a lost prompt cache."""
    return (rule.rule if isinstance(rule, CacheKept) else rule) is weigh


def publish(rule: ScoringRule) -> ScoringRule:
    """Return `weigh` in place of a rule of one's own; the price of a lost prompt cache stays."""
    return replace(rule, rule=weigh) if isinstance(rule, CacheKept) else weigh


def add_cache_losses(work: Mapping[str, float], rule: ScoringRule) -> dict[str, float]:
    """Add to what agents' work costs, in dollars, what each pays for a lost prompt cache where the rule counts it."""
    if not isinstance(rule, CacheKept):
        return dict(work)
    return {agent: dollars + rule.measure_loss(agent) / 1e6 for agent, dollars in work.items()}


def rank(bids: Iterable[Bid]) -> list[Bid]:
    """Bids, best first: smallest C − V; ties go to the cheaper agent, then to the name that sorts first.

    A scoring rule of one's own may give no number at all (NaN): such a bid comes last.
    """

    def key(bid: Bid) -> tuple[float, float, str]:
        return (math.inf if math.isnan(bid.net_cost) else bid.net_cost, bid.price, bid.agent)

    return sorted(bids, key=key)


def provisional_winner(bids: Iterable[Bid]) -> Bid:
    """Argmin C − V over the first bids (equation 4).

    Raises:
        ValueError: `bids` is empty; callers check that first, so this is a programming error.
    """
    ranked = rank(bids)
    if not ranked:
        raise ValueError("provisional_winner needs at least one bid")
    return ranked[0]


def may_refine(bids: Iterable[Bid], leader: Bid) -> tuple[Bid, ...]:
    """The bids of agents strictly cheaper than the provisional winner; none if the cheapest leads (step 5)."""
    return tuple(bid for bid in bids if bid.price < leader.price)


def is_judged(bid: Bid) -> bool:
    """Return whether the jury did its part: a juror scored the bid or had nothing to read in it, or there is no jury.

    Jurors that only failed say nothing of a bid.
    """
    return not bid.scores or any(not score.imputed or score.abstained for score in bid.scores)


def award(leader: Bid, refined: Iterable[Bid]) -> Bid:
    """The best refined bid where its C − V is strictly below the leader's, else the leader (equations 5 and 6).

    A refined bid that no juror scored has only the middle of the scale for a value: that takes no task from a leader
    whose value is known.
    """
    ranked = rank(bid for bid in refined if is_judged(bid))
    return ranked[0] if ranked and ranked[0].net_cost < leader.net_cost else leader


def next_best(contenders: Iterable[Bid], failed: Collection[str]) -> Bid | None:
    """The best bid of an agent that has not failed; `None` where there is none."""
    return next(iter(rank(bid for bid in contenders if bid.agent not in failed and is_judged(bid))), None)


def speaks(juror: str, weights: Weights) -> bool:
    """Return whether a juror's scores can change anything under these weights; a juror without weight is not asked."""
    if weights.model is not None:
        known = weights.model.coefficients
        return any(known.get(feature, 0.0) != 0.0 for feature in (juror_feature(juror), lead_feature(juror)))
    return weights.jurors.get(juror, 0.0) != 0.0


def impute(votes: Iterable[Vote]) -> tuple[Score, ...]:
    """Every vote as a score: a missing one becomes the mean of the other jurors' votes on the same strategy.

    A juror that fails must not punish the bidder, so missing is never 0. Where no juror scored a strategy it gets the
    mean of all votes, and the middle of the scale without any vote. A juror that had nothing to read in a
    bid knows nothing of it: that is the middle of the juror's own scale (`Vote.counts_as`).
    """
    ballots = list(votes)
    given = [vote for vote in ballots if vote.value is not None]
    overall = _mean([vote.value for vote in given if vote.value is not None], MAX_SCORE / 2)
    scores: list[Score] = []
    for vote in ballots:
        if vote.value is not None:
            scores.append(Score(juror=vote.juror, bidder=vote.bidder, value=vote.value, expected=vote.expected))
            continue
        others = [other.value for other in given if other.bidder == vote.bidder and other.value is not None]
        value = vote.counts_as if vote.counts_as is not None else _mean(others, overall)
        scores.append(Score(juror=vote.juror, bidder=vote.bidder, value=value, imputed=True, note=vote.note))
    return tuple(scores)


def with_leads(scores: Sequence[Score]) -> list[Score]:
    """All scores given on one task, each with its lead; a juror's abstentions have none, and count for no other."""
    spoken: dict[str, list[Score]] = {}
    for score in scores:
        if not score.abstained:
            spoken.setdefault(score.juror, []).append(score)

    def lead(score: Score) -> float | None:
        if score.abstained:
            return None
        others = [other.value for other in spoken[score.juror] if other.bidder != score.bidder]
        return score.value - max(others) if others else None

    return [replace(score, lead=lead(score)) for score in scores]


def _mean(values: Sequence[float], default: float) -> float:
    return math.fsum(values) / len(values) if values else default
