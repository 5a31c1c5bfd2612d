"""Success against dollars: points with their intervals, and what mixing the agents at random reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sale.learning.mixtures import mixture_line, pareto
from sale.server.dashboard.charts.scale import SIZES, Frame, Scale, px, tag, ticks
from sale.server.dashboard.charts.series import Chart
from sale.server.dashboard.formatting import money, percent, round_money


@dataclass(frozen=True, kw_only=True, slots=True)
class ScatterPoint:
    """One agent, or the market."""

    name: str
    colour: str
    mark: str
    dollars: float
    """Mean a task."""
    dollars_range: tuple[float, float] | None
    success: float
    success_range: tuple[float, float]
    tasks: int
    agent: bool = True
    """True for a single agent, which can be drawn at random."""


def frontier(points: Sequence[ScatterPoint]) -> list[ScatterPoint]:
    """Those that no other point beats, being no dearer and no worse; the cheapest first."""
    return [points[at] for at in pareto([one.dollars for one in points], [one.success for one in points])]


def scatter(title: str, summary: str, points: Sequence[ScatterPoint], note: str = "") -> Chart:
    """Dollars a task to the right, success upwards; the dashed line is what mixing single agents at random reaches."""
    agents = [one for one in points if one.agent]
    mixtures = mixture_line([one.dollars for one in agents], [one.success for one in agents]).tolist()
    reach = [point.dollars_range[1] if point.dollars_range else point.dollars for point in points]

    def draw(frame: Frame) -> Markup:
        across = ticks(0.0, min(max(reach, default=1.0), 1.6 * max((one.dollars for one in points), default=1.0)), 4)
        right = Scale(low=0.0, high=across[-1], start=frame.left, end=frame.width - frame.right)
        up = Scale(low=0.0, high=1.0, start=frame.foot, end=frame.top)
        corners = [corner for corner in mixtures if corner[0] <= across[-1]]
        line = [*corners, [across[-1], corners[-1][1]]]
        steps = " L".join(f"{px(right(dollars))} {px(up(success))}" for dollars, success in line)
        parts = [_axes(frame, across, right, up), tag("path", d=f"M{steps}", class_="mixtures")]
        parts += [_point(one, number, right, up, frame) for number, one in enumerate(points)]
        size = f"0 0 {frame.width} {frame.height}"
        return tag("svg", *parts, viewBox=size, class_="chart scatter", role="img", aria_label=title, tabindex="0")

    return Chart(
        title=title,
        summary=summary,
        drawings=tuple((name, draw(_taller(frame))) for name, frame in SIZES),
        legend=tuple((one.name, one.colour) for one in points),
        head=("Agent", "Judged tasks", "Success", "95 % interval", "Dollars a task", "95 % interval of dollars"),
        rows=tuple(
            (
                one.name,
                str(one.tasks),
                percent(one.success),
                f"{percent(one.success_range[0])} to {percent(one.success_range[1])}",
                money(one.dollars),
                f"{money(one.dollars_range[0])} to {money(one.dollars_range[1])}" if one.dollars_range else "–",
            )
            for one in points
        ),
        note=note,
    )


def _taller(frame: Frame) -> Frame:
    return Frame(width=frame.width, height=frame.height + 70, left=frame.left, right=frame.right + 16, bottom=48)


def _axes(frame: Frame, across: Sequence[float], right: Scale, up: Scale) -> Markup:
    parts: list[Markup] = []
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(tag("line", x1=frame.left, x2=frame.width - frame.right, y1=up(mark), y2=up(mark), class_="grid"))
        parts.append(tag("text", percent(mark), x=frame.left - 8, y=up(mark) + 4.0, text_anchor="end"))
    for number, mark in enumerate(across):
        if frame.width > 500 or number % 2 == 0:
            parts.append(tag("text", round_money(mark), x=right(mark), y=frame.foot + 18.0, text_anchor="middle"))
    middle = frame.left + frame.inner_width / 2
    parts.append(tag("text", "dollars a task", x=middle, y=frame.foot + 38.0, text_anchor="middle"))
    return tag("g", *parts, class_="axes", aria_hidden="true")


def _point(one: ScatterPoint, number: int, right: Scale, up: Scale, frame: Frame) -> Markup:
    x, y = right(one.dollars), up(one.success)
    low, high = one.success_range
    parts = [tag("line", x1=x, x2=x, y1=up(low), y2=up(high), class_="whisker")]
    if one.dollars_range:
        ends = [min(right(max(0.0, end)), float(frame.width - frame.right)) for end in one.dollars_range]
        parts.append(tag("line", x1=ends[0], x2=ends[1], y1=y, y2=y, class_="whisker"))
    parts.append(shape(one.mark, x, y, 6.5))
    flip = x > frame.left + 0.72 * frame.inner_width
    anchor = "end" if flip else "start"
    parts.append(tag("text", one.name, x=x + (-11.0 if flip else 11.0), y=y - 10.0, text_anchor=anchor, class_="label"))
    tip = "\n".join(
        [
            one.name,
            f"success\t{percent(one.success)} ({percent(low)} to {percent(high)})",
            f"dollars a task\t{money(one.dollars)}",
            f"judged tasks\t{one.tasks}",
        ]
    )
    parts.append(
        tag("rect", class_="slot", x=x - 14, y=y - 14, width="28", height="28", data_x=x, data_y=px(y), data_tip=tip)
    )
    return tag("g", *parts, class_=one.colour, data_series=number)


def shape(mark: str, x: float, y: float, reach: float) -> Markup:
    """A mark of an agent."""
    if mark == "square":
        return tag("rect", x=x - reach * 0.9, y=y - reach * 0.9, width=reach * 1.8, height=reach * 1.8, class_="mark")
    if mark == "circle":
        return tag("circle", cx=x, cy=y, r=reach, class_="mark")
    corners = {
        "triangle": ((0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
        "diamond": ((0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)),
    }[mark]
    points = " ".join(f"{px(x + a * reach)},{px(y + b * reach)}" for a, b in corners)
    return tag("polygon", points=points, class_="mark")
