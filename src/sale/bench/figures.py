"""The bench's figures, one function each: data in, a `Figure` out; `figure_style` writes them.

Agents are coloured light to dark from the cheapest to the dearest. Names stand beside what they name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sale.bench.figure_style import (
    COLUMN,
    HUES,
    INK,
    MARKERS,
    OURS,
    apply_style,
    canvas,
    darken_for_text,
    end_labels,
    error_bars,
    ink_on,
    percent,
    ramp,
    shade,
    whiskers,
)
from sale.bench.metrics import Escalation, Workload
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval

LEGIBLE = 0.055
"""Share of a bar below which its number is left out."""


@apply_style
def workload_bars(workload: Workload, *, xlabel: str = "Human time (minutes)", height: float = 2.2) -> Figure:
    """Draw the share of each agent in each bin: stacked bars, the cheapest agent at the bottom."""
    figure, axes = canvas(height=height)
    shares = np.array([[share.value for share in row] for row in workload.shares])
    tops = np.cumsum(shares, axis=1)
    places = np.arange(len(workload.labels))
    colours = ramp(len(workload.agents))
    for agent, colour in enumerate(colours):
        bottom = tops[:, agent] - shares[:, agent]
        axes.bar(places, shares[:, agent], bottom=bottom, width=0.74, color=colour, edgecolor="white", linewidth=0.5)
        for place, share in enumerate(shares[:, agent]):
            if share >= LEGIBLE:
                middle = bottom[place] + share / 2
                axes.text(
                    place, middle, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=ink_on(colour)
                )
    counted = zip(workload.labels, workload.tasks, strict=True)
    axes.set_xticks(places, [f"{label}\nn = {tasks}" for label, tasks in counted])
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel(xlabel)
    axes.set(xlim=(-0.5, len(places) - 0.5), ylim=(0, 1))
    percent(axes, "Share of tasks", grid=False)
    middles = tops[-1] - shares[-1] / 2
    end_labels(
        axes,
        [
            (name, len(places) - 1 + 0.37, middle, darken_for_text(colour))
            for name, middle, colour in zip(workload.agents, middles, colours, strict=True)
        ],
    )
    return figure


@apply_style
def win_share_lines(runs: Sequence[Floats], agents: Sequence[str], *, height: float = 2.2) -> Figure:
    """Cumulative share of tasks won as memory fills: a thin line an order, their mean bold.

    Args:
        runs: For each order (T, A), from `win_share`; all of one shape.
        agents: A names, from the cheapest.
        height: Inches.

    Raises:
        ValueError: No runs, or of different shapes.
    """
    _needed(runs)
    if any(run.shape != runs[0].shape or run.shape[1:] != (len(agents),) or not len(run) for run in runs):
        raise ValueError(f"orders must be of one shape with {len(agents)} agents, got {[run.shape for run in runs]}")
    figure, axes = canvas(height=height)
    done = np.arange(1, len(runs[0]) + 1)
    mean = np.mean(runs, axis=0)
    colours = ramp(len(agents))
    for agent, colour in enumerate(colours):
        for run in runs:
            axes.plot(done, run[:, agent], color=colour, lw=0.4, alpha=0.35)
        axes.plot(done, mean[:, agent], color=colour, lw=1.6)
    settled = np.array(runs)[:, min(len(done) // 20, len(done) - 1) :]
    axes.set_ylim(0, min(1.0, float(settled.max()) * 1.12 + 0.02))
    axes.set(xlim=(1, max(len(done), 2)), xlabel="Tasks done")
    percent(axes, "Cumulative share won")
    end_labels(
        axes, [(name, len(done), mean[-1, agent], darken_for_text(colours[agent])) for agent, name in enumerate(agents)]
    )
    return figure


@apply_style
def success_by_bin(
    series: Mapping[str, Mapping[str, Interval]],
    *,
    ours: str | None = None,
    xlabel: str = "Human time (minutes)",
    ylabel: str = "pass@1",
    height: float = 2.3,
) -> Figure:
    """Success of each router in each bin, with intervals; one router may be set off.

    Args:
        series: Router to bin to success; bins in the order the first router has them.
        ours: The name of the router set off.
        xlabel: Of the bins.
        ylabel: Of the rates.
        height: Inches.

    Raises:
        ValueError: No routers or no bins.
    """
    _needed(series)
    bins = list(dict.fromkeys(label for row in series.values() for label in row))
    _needed(bins)
    figure, axes = canvas(height=height)
    offsets = np.linspace(-0.24, 0.24, len(series)) if len(series) > 1 else np.zeros(1)
    hues = _hues(list(series), ours)
    ends: list[tuple[str, float, float, str]] = []
    for number, (name, row) in enumerate(series.items()):
        places = np.array([place for place, label in enumerate(bins) if label in row]) + offsets[number]
        found = [row[label] for label in bins if label in row]
        values = [one.value for one in found]
        bold = name == ours
        axes.plot(places, values, color=hues[name], lw=1.3 if bold else 0.7, alpha=1.0 if bold else 0.7, zorder=2)
        axes.errorbar(
            places,
            values,
            yerr=whiskers(found),
            fmt=MARKERS[number % len(MARKERS)],
            ms=3.6 if bold else 2.8,
            color=hues[name],
            elinewidth=0.7,
            zorder=4 if bold else 3,
        )
        if found:
            ends.append((name, float(places[-1]), values[-1], hues[name]))
    axes.set(xlim=(-0.45, len(bins) - 0.55), ylim=(0, 1.02), xlabel=xlabel, xticks=range(len(bins)), xticklabels=bins)
    percent(axes, ylabel)
    end_labels(axes, ends)
    return figure


@apply_style
def shapley_bars(
    agents: Sequence[str],
    values: Mapping[str, Sequence[Interval]],
    *,
    ylabel: str = "Shapley value (pass@1)",
    height: float = 2.1,
) -> Figure:
    """Each agent's contribution with its interval; several settings side by side.

    Args:
        agents: A names.
        values: Setting (such as `without memory`) to A values.
        ylabel: What the values are of.
        height: Inches.

    Raises:
        ValueError: No settings, or not a value for every agent.
    """
    _needed(values)
    if any(len(row) != len(agents) for row in values.values()):
        raise ValueError(f"every one of {len(agents)} agents needs a value")
    figure, axes = canvas(height=height)
    width = 0.78 / len(values)
    places = np.arange(len(agents))
    several = len(values) > 1
    tones = ramp(len(values))
    for number, (name, row) in enumerate(values.items()):
        at = places + (number - (len(values) - 1) / 2) * width
        heights = [one.value for one in row]
        axes.bar(at, heights, width=width * 0.92, color=tones[number] if several else ramp(len(agents)))
        error_bars(axes, at, row)
        if several:
            place, colour = (0.02, 1.0 - 0.085 * number), darken_for_text(tones[number])
            axes.annotate(f"■ {name}", place, xycoords="axes fraction", va="top", color=colour, fontsize=6.5)
    axes.axhline(0, color=INK, lw=0.6)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (0.05 * len(values) * (high - low) if several else 0))
    axes.set_xticks(places, agents)
    axes.tick_params(axis="x", length=0)
    percent(axes, ylabel)
    return figure


@apply_style
def escalation_map(found: Escalation, *, size: float = COLUMN) -> Figure:
    """Draw the agent chosen against the oracle's: framed cells are the oracle's choice, right of them are dearer ones.

    Cells show runs and their share of the row; shade is that share.
    """
    figure, axes = canvas(width=size, height=size * 0.82)
    counts = np.asarray(found.counts, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(counts.shape):
        share = float(shares[row, column])
        said = f"{counts[row, column]:.0f}" + (f"\n{100 * share:.0f} %" if counts[row, column] else "")
        axes.text(column, row, said, ha="center", va="center", fontsize=6, color=ink_on(shade(share)), linespacing=1.2)
    for agent in range(counts.shape[1]):
        axes.add_patch(
            Rectangle((agent - 0.5, agent - 0.5), 1, 1, fill=False, ec=OURS, lw=1.2, clip_on=False, zorder=3)
        )
    axes.axhline(counts.shape[1] - 0.5, color="white", lw=3, zorder=2)
    axes.set_xticks(range(counts.shape[1]), found.agents)
    needed = [*found.agents, "nobody"]
    axes.set_yticks(
        range(counts.shape[0]), [f"{name}\nn = {total:.0f}" for name, total in zip(needed, totals[:, 0], strict=True)]
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="Agent that did the task", ylabel="Cheapest agent that solves it")
    axes.set_title(
        f"dearer than needed {_said(found.over)}\nfailed, a dearer one solves it {_said(found.under)}",
        loc="left",
        fontsize=6.5,
    )
    return figure


def _needed(things: Sequence[object] | Mapping[str, object]) -> None:
    if not things:
        raise ValueError("there is nothing to draw")


def _hues(names: Sequence[str], ours: str | None) -> dict[str, str]:
    others = [hue for hue in HUES if hue != OURS] if ours in names else list(HUES)
    rest = [name for name in names if name != ours]
    hues = {name: others[number % len(others)] for number, name in enumerate(rest)}
    return hues if ours is None else {**hues, ours: OURS}


def _said(found: Interval) -> str:
    ends = "" if found.low is None or found.high is None else f" [{100 * found.low:.0f}, {100 * found.high:.0f}]"
    return f"{100 * found.value:.0f} %{ends}"
