"""When an auction pays, by the records of several pools: tables and a figure of `sale.learning.break_even`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from sale.bench.figure_style import FAINT, HUES, Axes, apply_style, canvas, fade, svg
from sale.bench.online import examples_of
from sale.bench.replay import load_recorded, merge_records
from sale.bench.report.make import SUFFIXES
from sale.bench.report.report_table import ReportTable
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError
from sale.files.writing import explain_output, write_bytes
from sale.learning.break_even import RULES, BreakEvenMap, Rule, break_even_map
from sale.learning.giving_up import GivingUpMap, giving_up
from sale.learning.health import JurorHealth, jury_health
from sale.learning.intervals import Interval

TOP = 1.0
"""The largest cost of an auction over cost of the work that is drawn; a pool beyond it is marked at the edge."""
STEP = 0.06
"""Between marks at the edge."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolMap:
    """One pool on record."""

    name: str
    found: BreakEvenMap
    given_up: GivingUpMap
    jurors: tuple[JurorHealth, ...]
    """By their first plans' outcomes, within a source of tasks; the best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paying:
    """The maps of some pools."""

    pools: tuple[PoolMap, ...]

    def sheets(self) -> tuple[ReportTable, ...]:
        """The map, and where each pool stands on it."""
        made = (_map_sheet, _gain_sheet, _standing_sheet, _giving_up_sheet)
        return tuple(one(self.pools) for one in made)

    def figure(self) -> Figure:
        """The map, drawn."""
        return break_even_lines({one.name: one for one in self.pools})

    def write(self, folder: Path) -> list[Path]:
        """Write tables as CSV and the figure as SVG; returns what was written.

        Raises:
            OutputError: A file cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_output(error, folder) from error
        parts = {f"{sheet.key}.csv": sheet.csv().encode() for sheet in self.sheets()}
        parts["break-even.svg"] = svg(self.figure())
        for name, content in parts.items():
            write_bytes(folder / name, content)
        return [folder / name for name in parts]


def paying(folders: Mapping[str, Path], tasks: Sequence[BenchTask], features: Embeddings) -> Paying:
    """The maps of recorded pools.

    Args:
        folders: By the pool's name: where its records are, `coding-test.jsonl.xz` and so on.
        tasks: What was run; test tasks that are whole on record are used.
        features: Sentence embeddings of the tasks, for track records.

    Raises:
        InputError: A folder has no record, or too little for a map.
    """
    return Paying(pools=tuple(_pool(name, folder, tasks, features) for name, folder in folders.items()))


def _pool(name: str, folder: Path, tasks: Sequence[BenchTask], features: Embeddings) -> PoolMap:
    paths = sorted(path for suffix in SUFFIXES for path in folder.glob(f"*-test.jsonl{suffix}"))
    wanted = [task for task in tasks if task.split == "test"]
    parts = [part for path in paths if (part := load_recorded(path, wanted)).tasks]
    if not parts:
        raise InputError(
            "there is no record of a whole test task",
            where=str(folder),
            hint="`sale bench run` records them, as coding-test.jsonl and search-test.jsonl.",
        )
    recorded = merge_records(parts)
    sources = {task.id: task.source for task in recorded.tasks}
    # A juror that knows one source to be harder than another tells nothing of a bid.
    examples = [replace(one, domain=sources[one.auction_id]) for one in examples_of(recorded, features)]
    return PoolMap(
        name=name, found=break_even_map(examples), given_up=giving_up(examples), jurors=jury_health(examples)
    )


def _map_sheet(pools: Sequence[PoolMap]) -> ReportTable:
    return ReportTable(
        key="break-even",
        title="The largest cost of an auction, over the cost of the best agent's work, at which it still pays",
        head=("juror's area within a kind", *_columns(pools)),
        rows=tuple(_rows(pools, "share")),
        note=(
            "95 % intervals over tasks. The auction pays where it solves as many tasks as the router by past outcomes, "
            "each with as much money as the best agent alone would take. Simulated jurors, recorded outcomes and costs."
        ),
    )


def _gain_sheet(pools: Sequence[PoolMap]) -> ReportTable:
    return ReportTable(
        key="break-even-gain",
        title="Points of pass@1 above the router by past outcomes, if the auction cost nothing",
        head=("juror's area within a kind", *_columns(pools)),
        rows=tuple(_rows(pools, "points")),
        note="95 % intervals over tasks, at the money that the best agent alone would take.",
    )


def _columns(pools: Sequence[PoolMap]) -> list[str]:
    return [f"{pool.name}, {rule}" for rule in RULES for pool in pools]


def _rows(pools: Sequence[PoolMap], kind: Literal["share", "points"]) -> list[tuple[str, ...]]:
    areas = sorted({one.area for one in pools[0].found.points})
    found: list[tuple[str, ...]] = []
    for area in areas:
        cells = [_cell(pool.found, area, rule, kind) for rule in RULES for pool in pools]
        found.append((f"{area:.2f}", *cells))
    return found


def _cell(found: BreakEvenMap, area: float, rule: Rule, kind: Literal["share", "points"]) -> str:
    point = next(one for one in found.points if one.area == area and one.rule == rule)
    if kind == "points":
        return _ends(point.gain, 100, 1)
    value, low, high = point.break_even
    if high < SHOWN:
        return "never"
    return f"{_or_never(value)} ({_or_never(low)} to {high:.2f})"


SHOWN = 0.005
"""Shares below this are shown as never."""


def _or_never(value: float) -> str:
    return "never" if value < SHOWN else f"{value:.2f}"


def _ends(found: Interval, factor: float, digits: int) -> str:
    value, low, high = (f"{factor * one:.{digits}f}".replace("-", "−") for one in found)
    return f"{value} ({low} to {high})"


def _standing_sheet(pools: Sequence[PoolMap]) -> ReportTable:
    rows: list[tuple[str, ...]] = []
    for pool in pools:
        found, best = pool.found, next((one for one in pool.jurors if one.area is not None), None)
        area = best.area if best is not None else None
        rows.append(
            (
                pool.name,
                str(found.tasks),
                str(len(found.agents)),
                found.best,
                _ends(found.router, 100, 1),
                _ends(found.work, 1e6, 1),
                "–" if found.auction is None else _ends(found.auction, 1e6, 1),
                "–" if found.ratio is None else f"{found.ratio:.2f}",
                "–" if best is None or area is None else f"{best.juror}: {_ends(area, 1, 2)}, {best.pairs} pairs",
                "–" if area is None else _or_never(found.break_even_at(area[2])),
                "–" if area is None or found.ratio is None else "yes" if found.pays(area[2]) else "no",
            )
        )
    return ReportTable(
        key="break-even-standing",
        title="Where the pools on record stand",
        head=(
            "pool",
            "tasks",
            "agents",
            "best agent",
            "router by past outcomes, %",
            "its work, millionths of a dollar",
            "auction, millionths of a dollar",
            "auction over work",
            "best juror: area within a source",
            "break-even at the upper end of that area",
            "pays there",
        ),
        rows=tuple(rows),
        note="The best juror is chosen with hindsight, so its area is an upper bound of what one could have relied on.",
    )


def _giving_up_sheet(pools: Sequence[PoolMap]) -> ReportTable:
    rows: list[tuple[str, ...]] = []
    for pool in pools:
        found = pool.given_up
        for name, one in (*(("by past outcomes", point) for point in found.points), ("if one knew", found.known)):
            shares = (_ends(one.saved, 100, 1), _ends(one.lost, 100, 1))
            rows.append((pool.name, name, f"{100 * one.share:.0f}", *shares, f"{100 * one.hopeless:.0f}"))
    return ReportTable(
        key="giving-up",
        title="Not trying the tasks with the least chance",
        head=(
            "pool",
            "order",
            "not tried, %",
            "money saved, %",
            "solved tasks lost, %",
            "of those not tried nobody solves, %",
        ),
        rows=tuple(rows),
        note="All that is tried goes to the best agent. 95 % intervals over tasks.",
    )


@apply_style
def break_even_lines(pools: Mapping[str, PoolMap], *, height: float = 3.0) -> Figure:
    """Break-even against the jurors' area, a colour a pool; best use with its interval, the linear rule dashed.

    Raises:
        ValueError: There are no pools.
    """
    if not pools:
        raise ValueError("there is nothing to draw")
    figure, axes = canvas(height=height)
    for number, (name, pool) in enumerate(pools.items()):
        hue = HUES[number % len(HUES)]
        for rule, line in zip(RULES, ("-", "--"), strict=True):
            own = [one for one in pool.found.points if one.rule == rule]
            areas = [one.area for one in own]
            axes.plot(areas, [one.break_even[0] for one in own], line, color=hue, label=f"{name}, {rule}")
            if rule == RULES[0]:
                low, high = ([one.break_even[end] for one in own] for end in (1, 2))
                axes.fill_between(areas, low, high, color=hue, alpha=0.15, lw=0)
        _standing(axes, pool, hue, TOP + STEP * (len(pools) - number))
    axes.axhline(0.0, color=FAINT, lw=0.6, zorder=0)
    axes.set(xlim=(0.45, 0.96), ylim=(-0.02, TOP + STEP * (len(pools) + 0.5)))
    axes.set_xlabel("How well jurors rank bids of one kind (area; 0.5 is chance)")
    axes.set_ylabel("Cost of the auction / cost of the work")
    axes.legend(frameon=False, fontsize=6, loc="upper left", bbox_to_anchor=(0.0, 0.84))
    return figure


def _standing(axes: Axes, pool: PoolMap, hue: str, edge: float) -> None:
    """A mark where the pool's best juror stands; at the upper edge where its auctions are dearer than is drawn."""
    area = next((one.area for one in pool.jurors if one.area is not None), None)
    ratio = pool.found.ratio
    if area is None or ratio is None:
        return
    height = edge if ratio > TOP else ratio
    axes.plot([area[1], area[2]], [height, height], color=fade(hue), lw=0.8)
    axes.plot(area[0], height, "^" if ratio > TOP else "o", color=hue, ms=4, zorder=3)
    said = f"{pool.name}, on record: {ratio:.1f}" + (", off the scale" if ratio > TOP else "")
    axes.annotate(said, (area[2], height), xytext=(4, -2), textcoords="offset points", color=hue, fontsize=6)
