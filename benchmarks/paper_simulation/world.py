"""Tasks, agents, plans and votes that are drawn so that what the paper publishes of them holds.

Published (arXiv 2602.02751): tasks a bin and domain; the success of the 32B overall and in some bins; what the 4B
reaches of it in the first and the last bin; prices; what an oracle solves. Assumed, and said in
docs/paper-simulation.md: everything else. An agent solves a task where a normal deviate, part of which all agents
share, lies under a threshold; the shared part is as large as makes the oracle's share come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sale.bench.routers.protocol import Floats, Ints
from sale.types import Entropy, Score, Strategy

NORMAL = NormalDist()
AGENTS = ("4B", "8B", "14B", "32B")
PRICES = (0.05, 0.09, 0.16, 0.36)
"""Dollars per million tokens; published."""
BILLIONS = (4.0, 8.0, 14.0, 32.0)
SIZE = np.log2(np.array(BILLIONS) / BILLIONS[0]) / math.log2(BILLIONS[-1] / BILLIONS[0])
"""0 for the smallest agent, 1 for the largest."""
PLAN_TOKENS, PLAN_SPREAD = 200.0, 0.4
"""Middle of the lengths of plans, and the deviation of their logarithm."""
LENGTH_TELLS = 0.39
"""Correlation of a plan's length with how badly the work goes; published as that of plan and trace lengths."""
SHARED_NOISE = 0.5
"""Part of a juror's noise that all jurors have in common: they read the same plan."""
ENTROPY_AREA = 0.6
"""How well entropy ranks plans, as an area under the ROC curve."""
TOPICS, DIMENSIONS, CLOSE = 40, 24, 0.8
"""Tasks belong to so many topics; a task's embedding is its topic's, and noise of the rest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperDomain:
    """What is published of one domain of HST-Bench."""

    name: str
    tasks: tuple[int, ...]
    """Test tasks of each bin."""
    dev: int
    """Tasks that weights were fitted on."""
    largest: float
    """Share that the 32B solves."""
    known: tuple[float | None, ...]
    """Likewise by bin; `None` where it is not published."""
    smallest: tuple[float, float]
    """Success of the 4B in the first and the last bin, as a share of the 32B's."""
    oracle: float
    without_memory: tuple[float, float]
    """Published of SALE: pass@1 in percent, and dollars per million tokens."""
    with_memory: tuple[float, float]
    win_share: tuple[float, float]
    """Of the 4B, in percent: at the start, and at the end."""
    ablations: dict[str, float]
    """Published pass@1, in percent."""


SEARCH = PaperDomain(
    name="deep search",
    tasks=(80, 80, 80, 82, 32),
    dev=68,
    largest=0.638,
    known=(0.875, None, None, None, 0.125),
    smallest=(0.87, 0.25),
    oracle=0.779,
    without_memory=(66.4, 0.24),
    with_memory=(67.3, 0.21),
    win_share=(3.7, 11.1),
    ablations={
        "no price": 65.4,
        "no length": 66.0,
        "no entropy": 65.5,
        "no jury": 63.7,
        "self-feedback only": 64.1,
        "peer feedback only": 63.2,
    },
)
CODING = PaperDomain(
    name="coding",
    tasks=(80, 79, 80, 81, 79),
    dev=88,
    largest=0.584,
    known=(0.95, 0.797, None, None, None),
    smallest=(0.92, 0.17),
    oracle=0.684,
    without_memory=(59.9, 0.27),
    with_memory=(61.1, 0.27),
    win_share=(1.4, 5.3),
    ablations={
        "no price": 59.4,
        "no length": 58.7,
        "no entropy": 59.1,
        "no jury": 59.9,
        "self-feedback only": 58.8,
        "peer feedback only": 48.7,
    },
)
DOMAINS = (SEARCH, CODING)


def success_by_bin(domain: PaperDomain) -> Floats:
    """(4 agents, 5 bins): what is published, the rest between, so that the 32B's overall share comes out.

    Unknown bins of the 32B: a line through the known ones with a bend, or from the last known one on; one number is
    free, and the overall share sets it. Of the 32B's success the 4B reaches a share that falls evenly from bin to bin,
    and the others lie between by the logarithm of their size.
    """
    counts, total = np.array(domain.tasks, np.float64), domain.largest * sum(domain.tasks)
    known = [place for place, value in enumerate(domain.known) if value is not None]
    given = np.array([np.nan if value is None else value for value in domain.known])
    if known[-1] == len(counts) - 1:
        at = np.arange(len(counts)) / (len(counts) - 1)
        line = given[0] + (given[-1] - given[0]) * at
        bend = at * (1.0 - at)
        largest = line + bend * (total - counts @ line) / (counts @ bend)
    else:
        steps = np.maximum(np.arange(len(counts)) - known[-1], 0.0)
        start = np.where(np.isnan(given), given[known[-1]], given)
        largest = start + steps * (total - counts @ start) / (counts @ steps)
    share = np.linspace(*domain.smallest, len(counts))
    return largest * (1.0 - (1.0 - share) * (1.0 - SIZE[:, None]))


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperWorld:
    """T tasks with everything that is drawn of them."""

    bins: Ints
    """(T,)"""
    deviates: Floats
    """(T, A): the lower, the better the work goes; standard normal."""
    threshold: Floats
    """(T, A): the agent solves the task where its deviate is below."""
    vectors: Floats
    """(T, D): embeddings of the tasks."""
    shared: float
    """Correlation of the deviates of two agents."""
    seed: tuple[int, int]
    """Of everything that is drawn for these tasks later."""

    @property
    def success(self) -> Floats:
        """(T, A): of work that follows the first plans."""
        return (self.deviates < self.threshold).astype(np.float64)


def draw_world(domain: PaperDomain, seed: int, *, share: float = 1.0) -> PaperWorld:
    """Draw the tasks of a domain: singles exact to the task in every bin, the oracle as near as it can be had.

    Args:
        domain: What is published.
        seed: Of everything that is drawn.
        share: Of the tasks, for a quick look.
    """
    seeds = (seed, len(domain.name))
    rng = np.random.default_rng(seeds)
    counts = [max(4, round(count * share)) for count in domain.tasks]
    bins = np.repeat(np.arange(len(counts)), counts)
    common, own = rng.normal(size=len(bins)), rng.normal(size=(len(bins), len(AGENTS)))
    rates = success_by_bin(domain)

    def drawn(shared: float) -> tuple[Floats, Floats]:
        deviates = math.sqrt(shared) * common[:, None] + math.sqrt(1.0 - shared) * own
        threshold = np.empty_like(deviates)
        for place in range(len(counts)):
            rows = bins == place
            for agent in range(len(AGENTS)):
                threshold[rows, agent] = _cut(deviates[rows, agent], rates[agent, place])
        return deviates, threshold

    low, high = 0.0, 0.999
    for _ in range(14):
        middle = (low + high) / 2
        deviates, threshold = drawn(middle)
        solved = float((deviates < threshold).any(axis=1).mean())
        low, high = (middle, high) if solved > domain.oracle else (low, middle)
    shared = (low + high) / 2
    deviates, threshold = drawn(shared)
    topics = rng.normal(size=(TOPICS, DIMENSIONS))
    noise = rng.normal(size=(len(bins), DIMENSIONS))
    vectors = CLOSE * topics[rng.integers(TOPICS, size=len(bins))] + (1.0 - CLOSE) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return PaperWorld(bins=bins, deviates=deviates, threshold=threshold, vectors=vectors, shared=shared, seed=seeds)


def _cut(values: Floats, rate: float) -> float:
    """The threshold under which this share of the values lies, to the nearest task."""
    ordered = np.sort(values)
    count = round(rate * len(ordered))
    edges = np.concatenate([[-np.inf], (ordered[1:] + ordered[:-1]) / 2, [np.inf]])
    return float(edges[count])


def shift_of(area: float) -> float:
    """By how many deviations successes lie above failures where they are ranked this well."""
    return math.sqrt(2.0) * NORMAL.inv_cdf(area)


@dataclass(frozen=True, kw_only=True, slots=True)
class JurorQuality:
    """The quality of one juror; all are alike."""

    area: float
    """How well it ranks two plans of one agent, one of which succeeds: the area under the ROC curve."""
    lift: float
    """By how many deviations of its noise it puts plans of the largest agent above those of the smallest, whatever
    comes of them."""


@dataclass(frozen=True, slots=True)
class PlanDraw:
    """T plans by A agents, and how they look."""

    tokens: Ints
    """(T, A)"""
    entropy: Floats
    """(T, A) in [0, 1]."""
    votes: Ints
    """(T, A, J) from 0 to 5."""


def draw_plans(success: Floats, deviates: Floats, quality: JurorQuality, rng: np.random.Generator) -> PlanDraw:
    """Draw plans for work that comes out so, and the votes of jurors of a quality.

    Args:
        success: (T, A): what comes of the work.
        deviates: (T, A): how badly it goes, for the lengths.
        quality: Of each juror.
        rng: Draws; the same for every quality, so that qualities are compared on the same luck.
    """
    shape = success.shape
    noise = LENGTH_TELLS * deviates + math.sqrt(1.0 - LENGTH_TELLS**2) * rng.normal(size=shape)
    centred = success - 0.5
    read = math.sqrt(SHARED_NOISE) * rng.normal(size=shape)[..., None]
    read = read + math.sqrt(1.0 - SHARED_NOISE) * rng.normal(size=(*shape, len(AGENTS)))
    favour = quality.lift * (SIZE - SIZE.mean())
    heard: Floats = (shift_of(quality.area) * centred + favour)[..., None] + read
    unsure = shift_of(ENTROPY_AREA) * centred + rng.normal(size=shape)
    return PlanDraw(
        tokens=np.clip(np.round(PLAN_TOKENS * np.exp(PLAN_SPREAD * noise)), 20, 1000).astype(np.intp),
        entropy=np.clip(0.5 + 0.15 * unsure, 0.0, 1.0),
        votes=np.clip(np.round(2.5 + 1.25 * heard), 0, 5).astype(np.intp),
    )


def as_bid(plans: PlanDraw, task: int, agent: int, *, refined: bool = False) -> tuple[Strategy, tuple[Score, ...]]:
    """A drawn plan with its votes, as the market knows them."""
    name, tokens = AGENTS[agent], int(plans.tokens[task, agent])
    told = Entropy(normalised=float(plans.entropy[task, agent]), nats=0.0, top_k=0, tokens=tokens)
    strategy = Strategy(agent=name, text=f"plan of {name}", tokens=tokens, entropy=told, refined=refined)
    votes: Sequence[int] = plans.votes[task, agent].tolist()
    return strategy, tuple(
        Score(juror=juror, bidder=name, value=float(vote)) for juror, vote in zip(AGENTS, votes, strict=True)
    )
