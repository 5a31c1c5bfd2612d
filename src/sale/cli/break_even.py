"""The screen of `sale weights map`: when an auction pays, by a memory's own records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.text import Text

from sale.cli.tables import make_table
from sale.learning.break_even import RULES, BreakEvenMap, break_even_map
from sale.learning.health import JurorHealth, jury_health
from sale.learning.intervals import Interval
from sale.types import Example
from sale.wording import quantity

NEVER = 0.005
"""A share below this is shown as never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnMap:
    """The map of a memory, and its jurors."""

    map: BreakEvenMap
    jurors: tuple[JurorHealth, ...]


def own_map(examples: Sequence[Example]) -> OwnMap:
    """The map of past auctions, and how well the jurors in them told success from failure.

    Raises:
        InputError: There is too little on record.
    """
    return OwnMap(map=break_even_map(examples), jurors=jury_health(examples))


def described_map(own: OwnMap) -> Group:
    """The map, and where the jury stands on it, in words."""
    found = own.map
    headings = ("juror's area", *(f"auction / work, {rule}" for rule in RULES), "solved more if it were free")
    table = make_table(*headings, right=headings)
    for area in sorted({point.area for point in found.points}):
        best, linear = (next(one for one in found.points if one.area == area and one.rule == rule) for rule in RULES)
        gain, low, high = (f"{100 * one:.1f}".replace("-", "−") for one in best.gain)
        table.add_row(f"{area:.2f}", _share(best.break_even), _share(linear.break_even), f"{gain} ({low} to {high})")
    lines = [
        f"{quantity(found.auctions, 'judged auction')} of {quantity(found.tasks, 'task')}"
        f" among {quantity(len(found.agents), 'agent')}. "
        f"The best is {found.best}, at "
        f"${found.work[0]:.3g} a task. Awarding by past outcomes solves {100 * found.router[0]:.1f} % for that money.",
        "An auction pays below the share of that cost given for how well its jurors tell success from failure:",
    ]
    return Group(*map(Text, lines), table, *map(Text, _standing(own)))


def _standing(own: OwnMap) -> list[str]:
    found = own.map
    best = next((one for one in own.jurors if one.area is not None), None)
    lines: list[str] = []
    if found.auction is not None:
        lines.append(f"Your auctions cost ${found.auction[0]:.3g} each: {found.ratio:.2g} of the work.")
    if best is not None and best.area is not None:
        area, low, high = best.area
        says = {None: "", True: ": auctions like yours pay", False: ": auctions like yours do not pay"}
        lines.append(
            f"Your best juror, {best.juror}, has an area of {area:.2f} ({low:.2f} to {high:.2f}, "
            f"{quantity(best.pairs, 'pair')}){says[found.pays(area)]}."
        )
    else:
        lines.append("No juror scored work of both outcomes yet, so where your jury stands is not known.")
    if found.modelled > 0.0:
        lines.append(
            f"{100 * found.modelled:.0f} % of the outcomes were never observed; a success model stands in for them "
            "(`sale weights map --help`)."
        )
    return lines


def _share(found: Interval) -> str:
    value, low, high = ("never" if one < NEVER else f"{one:.2f}" for one in found)
    return "never" if found[2] < NEVER else f"{value} ({low} to {high})"
