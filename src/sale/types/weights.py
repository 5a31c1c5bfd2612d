"""The weights that decide an auction, and what the market knows of its agents' past work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackRecord:
    """An agent's record at similar past tasks. Evidence, not a judgement of the agent."""

    agent: str
    successes: float
    """Past successes, each counted as much as its task is like this one (in (0, 1])."""
    failures: float
    """Past failures, likewise. Work that was not judged is in neither."""
    spent: float = 0.0
    """Cost of that work, in micro-dollars, each counted likewise."""
    costed: float = 0.0
    """The part of the evidence whose cost is known."""

    @property
    def evidence(self) -> float:
        """The number of past tasks just like this one that the record is worth."""
        return self.successes + self.failures


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessModel:
    """P̂(success) of an agent that does a task, from its bid and its past (objective `utility`, method section 3).

    log-odds = intercept of the agent + Σ coefficient · feature. Features are named:
    `entropy` (normalised H), `length` (log of |s|), `juror:<name>` (γ_j, in points; imputed ones as they are, save for
    abstentions, which are not known), `lead:<name>` (γ_j less the best of the juror's scores of other bids), `track`
    (log-odds of the track record, smoothed towards the agent's own rate by `prior_evidence`).
    A feature that is not known for a bid (no log-probabilities, no such juror, no plan) takes its mean from training.
    """

    worth: float
    """Worth of a solved task, in micro-dollars. V = worth · P̂."""
    intercepts: Mapping[str, float]
    """By agent."""
    newcomer: float
    """Intercept of an agent that is not in `intercepts`: a stated prior."""
    rates: Mapping[str, float]
    """By agent: its share of successes in training, shrunk; where `track` starts from."""
    newcomer_rate: float
    """The same for an agent that is not in `rates`."""
    coefficients: Mapping[str, float]
    """By feature; a feature that is not named weighs nothing."""
    means: Mapping[str, float]
    """By feature: its mean in training, subtracted before it is weighed."""
    work: Mapping[str, float]
    """By agent: what its work on one task costs on average, in micro-dollars."""
    newcomer_tokens: float
    """Tokens the work of an unknown agent is taken to need; times its price that is its cost."""
    prior_evidence: float = 4.0
    """Number of tasks that an agent's own rate counts for when `track` is made."""
    difficulty: float = 0.0
    """Spread of the difficulty that all agents share, beyond what is seen of a task: the standard deviation, in
    log-odds. The larger, the more one agent's failure says of the others (`sale.auction.difficulty`)."""
    auction: float = 0.0
    """Mean cost of an auction, in micro-dollars."""
    spread: Mapping[str, float] = field(default_factory=dict[str, float])
    """By agent: the standard deviation, in training, of what its bid adds to its log-odds. Without bids that tell
    anything this is 0, and there is no reason to pay for them."""

    def __post_init__(self) -> None:
        numbers = (
            ("worth", self.worth),
            ("newcomer", self.newcomer),
            ("newcomer_rate", self.newcomer_rate),
            ("newcomer_tokens", self.newcomer_tokens),
            ("prior_evidence", self.prior_evidence),
            *self.intercepts.items(),
            *self.rates.items(),
            *self.coefficients.items(),
            *self.means.items(),
            *self.work.items(),
            *self.spread.items(),
            ("auction", self.auction),
            ("difficulty", self.difficulty),
        )
        for name, value in numbers:
            if not math.isfinite(value):
                raise ValueError(f"{name} of a success model must be a finite number, got {value!r}")
        if self.worth < 0 or self.difficulty < 0 or self.prior_evidence <= 0:
            raise ValueError("worth and difficulty must not be negative, and prior_evidence must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """w = (w_c, w_h, {w_j}) of equations 2 and 3; or, with a `model`, expected worth against expected cost."""

    cost: float
    """w_c, per micro-dollar: π is in dollars per million tokens, so π·|s| is micro-dollars."""
    entropy: float
    """w_h, per unit of normalised entropy. May be negative: its sign is learnt, not assumed."""
    jurors: Mapping[str, float]
    """w_j, per point of juror j's score. A juror that is not named weighs nothing."""
    source: str = "given"
    """Where they come from, for the record: `default`, `sale.toml`, `weights 3` (a version in the memory)."""
    track: float = 0.0
    """Gain of V per unit of the author's success rate on like tasks above one half, and loses below; 0 is the
    published rule, which knows bids alone."""
    model: SuccessModel | None = None
    """In place of equations 2 and 3: C is what the work is expected to cost, V = worth · P̂(success)."""

    def __post_init__(self) -> None:
        for name, value in (
            ("cost", self.cost),
            ("entropy", self.entropy),
            ("track", self.track),
            *self.jurors.items(),
        ):
            if not math.isfinite(value):
                raise ValueError(f"the weight of {name} must be a finite number, got {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The data weights were fitted on, and their results on records they had not seen."""

    objective: str
    """Name of the objective of the fit: `utility`, `margin` or `minmax` (method, section 3), or another."""
    auctions: int
    """Recorded auctions used."""
    judged: int
    """Executions with a known outcome among them."""
    since: str | None = None
    """Start of the records used, ISO 8601; `None`: from the first."""
    settings: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    """Of the fit: B, λ, α, worth, folds, seed, …"""
    held_out: Mapping[str, tuple[float, float, float]] = field(default_factory=dict[str, tuple[float, float, float]])
    """By measure (`pass@1`, `dollars`, `regret`, …): mean over held-out folds and its 95 % interval."""
    notes: tuple[str, ...] = ()
    """Limits that a reader must know: too few records, agents never seen, figures estimated rather than observed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightSet:
    """Weights as the memory keeps them: a version, what they are, where they come from. Never changed, only added."""

    version: int
    """1, 2, …; given by the memory. 0: what ships with sale."""
    weights: Weights
    training: Training
    made_at: str
    """ISO 8601, UTC; empty for what ships with sale, which rests on no record of this memory."""
    in_use: bool = False
    """True where auctions are decided by it now."""
