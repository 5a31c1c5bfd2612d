"""The plane of cost and success: who is where, and what mixing single agents at random reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from sale.bench.figure_style import FAINT, GREY, HUES, INK, OURS, apply_style, canvas, fade, percent, point_labels
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval
from sale.learning.mixtures import mixture_line

Kind = Literal["agent", "router", "ours", "oracle"]
LOOKS: dict[Kind, tuple[str, str]] = {
    "agent": (GREY, "s"),
    "router": (HUES[0], "o"),
    "ours": (OURS, "D"),
    "oracle": (INK, "*"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParetoPoint:
    """A router or an agent in the plane of cost and success."""

    name: str
    cost: Interval
    success: Interval
    kind: Kind = "router"


WIDE = 20.0
"""Costs further apart than this are shown on a logarithmic axis."""


@apply_style
def pareto_plot(points: Sequence[ParetoPoint], *, tasks: int = 1_000, height: float = 2.6) -> Figure:
    """Success against cost with intervals; the grey line is what mixing single agents at random reaches.

    Costs that differ much are shown on a logarithmic axis, on which that line is bent.

    Args:
        points: Costs in dollars a task.
        tasks: Costs are shown for so many.
        height: Inches.

    Raises:
        ValueError: There are no points.
    """
    if not points:
        raise ValueError("there is nothing to draw")
    figure, axes = canvas(height=height)
    costs = np.array([ends(point.cost) for point in points]) * tasks
    rates = np.array([ends(point.success) for point in points])
    right = float(costs[:, 2].max()) * 1.05 or 1.0
    left = float(costs[:, 0].min()) / 1.3
    wide = left > 0 and right / left > WIDE
    if wide:
        axes.set_xscale("log")
        right *= 1.5
    mix = _mixtures(
        points, costs[:, 1], rates[:, 1], np.geomspace(left, right, 200) if wide else np.array([0.0, right])
    )
    lines = [mix]
    if len(mix):
        axes.plot(*mix.T, color=GREY, lw=0.8, zorder=1)
        axes.fill_between(*mix.T, color=FAINT, alpha=0.5, lw=0, zorder=0)
    for point, cost, success in zip(points, costs, rates, strict=True):
        colour, marker = LOOKS[point.kind]
        axes.plot(cost[[0, 2]], success[[1, 1]], color=fade(colour), lw=0.7)
        axes.plot(cost[[1, 1]], success[[0, 2]], color=fade(colour), lw=0.7)
        axes.plot(cost[1], success[1], marker, ms=7 if marker == "*" else 4, color=colour, zorder=3)
        lines += [np.array([cost[[0, 2]], success[[1, 1]]]).T, np.array([cost[[1, 1]], success[[0, 2]]]).T]
    low, high = float(rates.min()), float(rates.max())
    margin = 0.08 * (high - low) + 0.01
    axes.set_ylim(0 if low < 0.3 else low - margin, min(1.02, high + margin))
    if wide:
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlim=(left if wide else 0, right))
    axes.set_xlabel("Cost per task ($)" if tasks == 1 else f"Cost per {tasks:,} tasks ($)")
    percent(axes, "pass@1")
    rows = zip(points, costs, rates, strict=True)
    names = [(point.name, cost[1], success[1], LOOKS[point.kind][0]) for point, cost, success in rows]
    point_labels(axes, names, lines)
    return figure


def _mixtures(points: Sequence[ParetoPoint], costs: Floats, rates: Floats, spots: Floats) -> Floats:
    """(n, 2): cost and success of the best mixtures of single agents, at these costs and at the corners between."""
    alone = np.array([place for place, point in enumerate(points) if point.kind == "agent"], dtype=np.intp)
    if not len(alone):
        return np.zeros((0, 2))
    corners = mixture_line(costs[alone], rates[alone])
    at = np.unique(np.concatenate([spots, corners[(corners[:, 0] > spots[0]) & (corners[:, 0] < spots[-1]), 0]]))
    line: Floats = np.interp(at, corners[:, 0], corners[:, 1])
    return np.column_stack([at, line])


def ends(found: Interval) -> tuple[float, float, float]:
    """Low end, figure, high end; the figure itself where there is no interval."""
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return low, found.value, high
