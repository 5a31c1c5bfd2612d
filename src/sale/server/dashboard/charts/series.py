"""Charts over a row of periods: lines, and bars that are stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sale.server.dashboard.charts.scale import SIZES, Frame, Scale, px, tag, ticks

Format = Callable[[float | None], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line, or one part of every bar."""

    name: str
    colour: str
    """A class of the style sheet."""
    values: tuple[float | None, ...]
    """One for each period; `None` where there is none."""
    dash: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The data of a chart on a page: drawings for wide and narrow windows, and the same as a table."""

    title: str
    summary: str
    """A sentence that describes the chart for those who do not see it."""
    drawings: tuple[tuple[str, Markup], ...]
    legend: tuple[tuple[str, str], ...]
    """Names and colours."""
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def lines(
    title: str,
    summary: str,
    periods: Sequence[str],
    series: Sequence[Series],
    said: Format,
    *,
    top: float | None = None,
    mark: Format | None = None,
) -> Chart:
    """Lines over periods. Gaps stay gaps.

    Args:
        title: Of the chart.
        summary: What it shows, in words.
        periods: Their names, in order.
        series: Each with a value a period.
        said: How values are written.
        top: The highest value of the axis; as high as the values go unless given.
        mark: How round values of the axis are written; like the others unless given.
    """
    highest = max((value for one in series for value in one.values if value is not None), default=1.0)

    def draw(frame: Frame) -> Markup:
        marks = ticks(0.0, top if top is not None else highest)
        frame = frame.with_room_for([(mark or said)(one) for one in marks])
        up = Scale(low=marks[0], high=marks[-1], start=frame.foot, end=frame.top)
        places = _places(frame, len(periods))
        parts = [_axes(frame, periods, places, marks, up, mark or said)]
        parts += [_line(one, number, places, up) for number, one in enumerate(series)]
        return _drawing(frame, title, [*parts, *_slots(frame, periods, places, series, said)])

    return _chart(title, summary, periods, series, said, draw)


def stacked_bars(
    title: str,
    summary: str,
    periods: Sequence[str],
    series: Sequence[Series],
    said: Format,
    mark: Format | None = None,
) -> Chart:
    """Bars over periods, made of parts; arguments as those of `lines`."""
    totals = [sum(one.values[place] or 0.0 for one in series) for place in range(len(periods))]

    def draw(frame: Frame) -> Markup:
        marks = ticks(0.0, max(totals, default=1.0))
        frame = frame.with_room_for([(mark or said)(one) for one in marks])
        up = Scale(low=marks[0], high=marks[-1], start=frame.foot, end=frame.top)
        places = _places(frame, len(periods))
        wide = max(2.0, 0.72 * frame.inner_width / max(1, len(periods)))
        below = [0.0] * len(periods)
        parts = [_axes(frame, periods, places, marks, up, mark or said)]
        for number, one in enumerate(series):
            parts.append(_bars(one, number, places, up, below, wide))
            below = [base + (value or 0.0) for base, value in zip(below, one.values, strict=True)]
        return _drawing(frame, title, [*parts, *_slots(frame, periods, places, series, said)])

    return _chart(title, summary, periods, series, said, draw)


def _chart(
    title: str,
    summary: str,
    periods: Sequence[str],
    series: Sequence[Series],
    said: Format,
    draw: Callable[[Frame], Markup],
) -> Chart:
    return Chart(
        title=title,
        summary=summary,
        drawings=tuple((name, draw(frame)) for name, frame in SIZES),
        legend=tuple((one.name, one.colour) for one in series),
        head=("Period", *(one.name for one in series)),
        rows=tuple((period, *(said(one.values[place]) for one in series)) for place, period in enumerate(periods)),
    )


def _drawing(frame: Frame, title: str, parts: Sequence[Markup]) -> Markup:
    size = f"0 0 {frame.width} {frame.height}"
    return tag("svg", *parts, viewBox=size, class_="chart", role="img", aria_label=title, tabindex="0")


def _places(frame: Frame, count: int) -> list[float]:
    """The middle of each period."""
    step = frame.inner_width / max(1, count)
    return [frame.left + (place + 0.5) * step for place in range(count)]


def _axes(
    frame: Frame, periods: Sequence[str], places: Sequence[float], marks: Sequence[float], up: Scale, said: Format
) -> Markup:
    right = frame.width - frame.right
    parts: list[Markup] = []
    for mark in marks:
        parts.append(tag("line", x1=frame.left, x2=right, y1=up(mark), y2=up(mark), class_="grid"))
        parts.append(tag("text", said(mark), x=frame.left - 8, y=up(mark) + 4.0, text_anchor="end"))
    every = max(1, -(-len(periods) // max(1, int(frame.inner_width // 62))))
    for number, (period, place) in enumerate(zip(periods, places, strict=True)):
        if number % every == 0:
            parts.append(tag("text", period, x=place, y=frame.foot + 18.0, text_anchor="middle"))
    return tag("g", *parts, class_="axes", aria_hidden="true")


def _line(one: Series, number: int, places: Sequence[float], up: Scale) -> Markup:
    path, pen = "", "M"
    dots: list[Markup] = []
    for place, value in zip(places, one.values, strict=True):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{px(place)} {px(up(value))}"
        pen = "L"
        dots.append(tag("circle", cx=place, cy=up(value), r="2.6"))
    drawn = tag("path", d=path or "M0 0", class_="line", stroke_dasharray=one.dash)
    return tag("g", drawn, *dots, class_=one.colour, data_series=number)


def _bars(one: Series, number: int, places: Sequence[float], up: Scale, below: Sequence[float], wide: float) -> Markup:
    bars = [
        tag("rect", x=place - wide / 2, y=up(base + value), width=wide, height=max(0.0, up(base) - up(base + value)))
        for place, base, value in zip(places, below, one.values, strict=True)
        if value
    ]
    return tag("g", *bars, class_=f"{one.colour} bars", data_series=number)


def _slots(
    frame: Frame, periods: Sequence[str], places: Sequence[float], series: Sequence[Series], said: Format
) -> list[Markup]:
    """A strip over each period that says, on being pointed at or reached by the arrow keys, what is there."""
    wide = frame.inner_width / max(1, len(periods))
    return [
        tag(
            "rect",
            class_="slot",
            x=place - wide / 2,
            y=frame.top,
            width=wide,
            height=frame.inner_height,
            data_x=place,
            data_tip="\n".join([period, *(f"{one.name}\t{said(one.values[number])}" for one in series)]),
        )
        for number, (period, place) in enumerate(zip(periods, places, strict=True))
    ]
