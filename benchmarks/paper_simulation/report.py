"""The tables of docs/paper-simulation.md. Every line says whether it is published or simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.paper_simulation.market import (
    ORDERS,
    Award,
    SimulatedMarket,
    ablated,
    open_market,
    with_memory,
    without_memory,
)
from benchmarks.paper_simulation.world import (
    AGENTS,
    PRICES,
    JurorQuality,
    PaperDomain,
    PaperWorld,
    draw_world,
    success_by_bin,
)
from sale.bench.report.report_table import ReportTable
from sale.bench.routers.protocol import Floats

AREAS = tuple(round(0.5 + 0.025 * step, 3) for step in range(15))
LIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
GAINS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
WORLDS = 5
DEV_SEED = 1000
POINT, CENT = 0.5, 0.01
"""Half a point of pass@1 counts as much as a cent of dollars per million tokens, where a quality is fitted."""
PUBLISHED, SIMULATED = "published", "simulated"
FIFTHS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Means over worlds."""

    success: float
    """Percent."""
    price: float
    """Dollars per million tokens."""
    shares: tuple[float, ...]
    """Percent of the tasks that the smallest agent wins, in each fifth of an order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedDomain:
    """The quality that comes nearest to what is published of one domain."""

    domain: PaperDomain
    quality: JurorQuality
    gain: float
    without: Found
    memory: Found
    one_juror: float
    """How well a juror ranks two plans for one task of which one succeeds, whoever wrote them."""
    jury: float
    """The same for the mean of all jurors."""
    ablations: dict[str, float]
    """Percent."""


Worlds = Sequence[tuple[PaperWorld, PaperWorld]]


def draw_worlds(domain: PaperDomain, count: int = WORLDS, share: float = 1.0) -> Worlds:
    """Draw test and dev tasks so many times."""
    dev = domain.dev / sum(domain.tasks)
    return [
        (draw_world(domain, seed, share=share), draw_world(domain, DEV_SEED + seed, share=dev)) for seed in range(count)
    ]


def markets(worlds: Worlds, quality: JurorQuality) -> list[SimulatedMarket]:
    """The market in every world."""
    return [open_market(world, dev, quality) for world, dev in worlds]


def summary(runs: Iterable[Sequence[Award]]) -> Found:
    """Means over runs."""
    every = list(runs)
    success = np.mean([np.mean([one.success for one in run]) for run in every])
    price = np.mean([np.mean([PRICES[one.agent] for one in run]) for run in every])
    shares = np.mean(
        [[np.mean(part) for part in np.array_split([one.agent == 0 for one in run], FIFTHS)] for run in every], axis=0
    )
    return Found(success=100 * float(success), price=float(price), shares=tuple(100 * shares))


def in_orders(held: Sequence[SimulatedMarket], gain: float) -> Found:
    """The market with memory over random orders of every world's tasks."""
    return summary(
        with_memory(market, np.random.default_rng([order, place]).permutation(len(market.world.bins)), gain)
        for place, market in enumerate(held)
        for order in range(ORDERS)
    )


def distance(found: Found, wanted: tuple[float, float]) -> float:
    """How far a simulated pair lies from a published one."""
    return ((found.success - wanted[0]) / POINT) ** 2 + ((found.price - wanted[1]) / CENT) ** 2


def fit_domain(
    domain: PaperDomain, worlds: Worlds, areas: Sequence[float], lifts: Sequence[float], gains: Sequence[float]
) -> tuple[FittedDomain, dict[tuple[float, float], Found]]:
    """Find the quality that reproduces what is published without memory, then the gain that does with it."""
    grid = {
        (area, lift): summary(map(without_memory, markets(worlds, JurorQuality(area=area, lift=lift))))
        for area in areas
        for lift in lifts
    }
    area, lift = min(grid, key=lambda at: distance(grid[at], domain.without_memory))
    quality = JurorQuality(area=area, lift=lift)
    held = markets(worlds, quality)
    tried = {gain: in_orders(held, gain) for gain in gains}
    gain = min(tried, key=lambda one: distance(tried[one], domain.with_memory))
    every = [ablated(market) for market in held]
    fitted = FittedDomain(
        domain=domain,
        quality=quality,
        gain=gain,
        without=grid[area, lift],
        memory=tried[gain],
        one_juror=float(np.mean([_ranked(market, lambda votes: votes[..., 0]) for market in held])),
        jury=float(np.mean([_ranked(market, lambda votes: votes.mean(axis=-1)) for market in held])),
        ablations={name: 100 * float(np.mean([one[name] for one in every])) for name in every[0]},
    )
    return fitted, grid


def _ranked(market: SimulatedMarket, reading: Callable[[Floats], Floats]) -> float:
    """Of pairs of plans for one task, one that succeeds and one that fails, the share ranked right."""
    votes = np.array([[[score.value for score in bid.scores] for bid in bids] for bids in market.first])
    told, solved = reading(votes), market.world.success > 0
    pairs = solved[:, :, None] & ~solved[:, None, :]
    lead = told[:, :, None] - told[:, None, :]
    right = (lead > 0) + 0.5 * (lead == 0)
    return float(right[pairs].mean())


def world_table(domain: PaperDomain, worlds: Worlds) -> ReportTable:
    """The singles and the oracle, as published and as drawn."""
    rates = success_by_bin(domain)
    known = ["–" if value is None else f"{100 * value:.1f}" for value in domain.known]
    rows = [(PUBLISHED, AGENTS[-1], *known, f"{100 * domain.largest:.1f}")]
    rows += [
        (SIMULATED, name, *(f"{100 * rate:.1f}" for rate in rates[agent]), _mean(worlds, agent))
        for agent, name in enumerate(AGENTS)
    ]
    drawn = 100 * np.mean([world.success.any(axis=1).mean() for world, _ in worlds])
    blank = ("–",) * len(domain.tasks)
    rows += [
        (PUBLISHED, "oracle", *blank, f"{100 * domain.oracle:.1f}"),
        (SIMULATED, "oracle", *blank, f"{drawn:.1f}"),
    ]
    shared = float(np.mean([world.shared for world, _ in worlds]))
    return ReportTable(
        key=f"{_key(domain)}-world",
        title=f"{domain.name.capitalize()}: tasks solved by bin of human time, %",
        head=("", "agent", "τ ≤ 0.1", "≤ 0.5", "≤ 2.5", "≤ 12.5", "≤ 60", "all"),
        rows=tuple(rows),
        note=f"{sum(domain.tasks)} tasks. Correlation of two agents' deviates that gives the oracle: {shared:.2f}.",
    )


def quality_table(domain: PaperDomain, grid: dict[tuple[float, float], Found]) -> ReportTable:
    """What jurors of each quality come to without memory."""
    lifts = sorted({lift for _, lift in grid})
    areas = sorted({area for area, _ in grid})
    published = f"{domain.without_memory[0]:.1f} at {domain.without_memory[1]:.2f}"
    rows = [
        (
            SIMULATED,
            f"{area:.3f}",
            *(f"{grid[area, lift].success:.1f} at {grid[area, lift].price:.2f}" for lift in lifts),
        )
        for area in areas
    ]
    return ReportTable(
        key=f"{_key(domain)}-quality",
        title=f"{domain.name.capitalize()}, without memory: pass@1, %, at dollars per million tokens",
        head=("", "juror's area", *(f"lift {lift:g}" for lift in lifts)),
        rows=((PUBLISHED, "–", published, *("–",) * (len(lifts) - 1)), *rows),
        note="Area: of one juror, over plans of one agent. Lift: of the largest agent's plans over the smallest's.",
    )


def fit_table(found: Sequence[FittedDomain]) -> ReportTable:
    """The quality that comes nearest, and what it gives."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        domain = one.domain
        rows += [
            (
                PUBLISHED,
                domain.name,
                "–",
                "–",
                "–",
                "–",
                "–",
                *_pair(domain.without_memory),
                *_pair(domain.with_memory),
            ),
            (
                SIMULATED,
                domain.name,
                f"{one.quality.area:.3f}",
                f"{one.quality.lift:g}",
                f"{one.one_juror:.2f}",
                f"{one.jury:.2f}",
                f"{one.gain:g}",
                *_pair((one.without.success, one.without.price)),
                *_pair((one.memory.success, one.memory.price)),
            ),
        ]
    return ReportTable(
        key="fit",
        title="The jurors that come nearest to the published tables",
        head=(
            "",
            "domain",
            "juror's area",
            "lift",
            "one juror, plans of one task",
            "the jury",
            "gain of refining",
            "without memory, %",
            "$/Mt",
            "with memory, %",
            "$/Mt",
        ),
        rows=tuple(rows),
        note="Area and lift are fitted to the two figures without memory, the gain to the two with it.",
    )


def ablation_table(found: Sequence[FittedDomain]) -> ReportTable:
    """What taking one thing out changes, in points."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        whole, full = one.ablations["SALE without memory"], one.domain.with_memory[0]
        for name, value in one.domain.ablations.items():
            ours, theirs = one.ablations[name] - whole, value - full
            rows.append((SIMULATED, one.domain.name, name, f"{ours:+.1f}", f"{theirs:+.1f}", _same(ours, theirs)))
        for name, value in one.ablations.items():
            if name.startswith("without juror"):
                ours = value - whole
                rows.append((SIMULATED, one.domain.name, name, f"{ours:+.1f}", "below 0", _same(ours, -1.0)))
    return ReportTable(
        key="ablations",
        title="Points of pass@1 that taking one thing out changes",
        head=("", "domain", "taken out", "simulated", "published", "same sign"),
        rows=tuple(tuple(cell.replace("-", "−") if "." in cell else cell for cell in row) for row in rows),
        note="Simulated: without memory, against the whole without memory. Published: with memory, against the whole.",
    )


def share_table(found: Sequence[FittedDomain]) -> ReportTable:
    """The smallest agent's share of the tasks as the memory fills."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        first, last = one.domain.win_share
        rows += [
            (PUBLISHED, one.domain.name, f"{first:.1f}", *("–",) * (FIFTHS - 2), f"{last:.1f}"),
            (SIMULATED, one.domain.name, *(f"{share:.1f}" for share in one.memory.shares)),
        ]
    return ReportTable(
        key="shares",
        title="Tasks won by the 4B as the memory fills, %",
        head=("", "domain", *(f"fifth {number + 1}" for number in range(FIFTHS))),
        rows=tuple(rows),
        note="Simulated: of each fifth of an order. Published: cumulative, at the start and at the end.",
    )


def _pair(given: tuple[float, float]) -> tuple[str, str]:
    return f"{given[0]:.1f}", f"{given[1]:.2f}"


def _same(ours: float, theirs: float) -> str:
    return "yes" if ours * theirs > 0 else "no"


def _mean(worlds: Worlds, agent: int) -> str:
    return f"{100 * np.mean([world.success[:, agent].mean() for world, _ in worlds]):.1f}"


def _key(domain: PaperDomain) -> str:
    return domain.name.replace(" ", "-")
