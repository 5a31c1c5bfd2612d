"""The style of the bench's figures, and a way of writing them that gives the same bytes for the same data.

Nothing goes through pyplot: figures are plain objects. Style is set while a figure is made and while it is written,
from matplotlib's own defaults, whatever the user's configuration says; text is drawn as paths in the font that comes
with matplotlib, ids are hashed with a fixed salt, and no date is written.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib import colors as mpl_colors
from matplotlib import style as mpl_style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval
from sale.errors import InputError
from sale.files.writing import write_bytes

Axes = Any
"""Matplotlib's, whose keyword arguments are untyped."""
_colors: Any = mpl_colors

COLUMN = 3.5
"""Inches: one column of a two-column page."""
DPI = 300
LAYOUTS = 3
"""Rounds until labels beside a plot and the plot's width have settled."""

INK, GREY, FAINT = "#222222", "#7a7a7a", "#e4e4e4"
OURS = "#D55E00"
HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, told apart with any colour vision; yellow, too light for lines on white, is left out."""
MARKERS = ("o", "D", "s", "^", "v", "P", "X")

STYLE = "sale.bench.figures"
"""The package and name of the style sheet, `figures.mplstyle`."""

P = ParamSpec("P")


@contextmanager
def style() -> Generator[None]:
    """The look of every figure; the process's own settings are back afterwards. Not for several threads at once."""
    with mpl_style.context(STYLE, after_reset=True):
        yield


def apply_style(function: Callable[P, Any]) -> Callable[P, Figure]:
    """Make a figure in our style and fix its layout, which would otherwise be found anew whenever it is written."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            figure = function(*args, **kwargs)
            for _ in range(LAYOUTS):
                figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure

    return inside


def canvas(width: float = COLUMN, height: float = 2.4) -> tuple[Figure, Axes]:
    """An empty figure of so many inches with one plot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def svg(figure: Figure) -> bytes:
    """The figure as SVG."""
    return _written(figure, format="svg", metadata={"Date": None, "Creator": None})


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG."""
    return _written(figure, format="png", dpi=dpi, metadata={"Software": None})


def _written(figure: Any, **how: Any) -> bytes:  # noqa: ANN401  matplotlib's keyword arguments are untyped
    out = io.BytesIO()
    with style():
        figure.savefig(out, **how)
    return out.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write the figure as its name says, `.svg` or `.png`, whole or not at all.

    Raises:
        InputError: Another ending.
        OutputError: The file cannot be written.
    """
    writers = {".svg": svg, ".png": png}
    if path.suffix not in writers:
        raise InputError(f"cannot write a figure as {path.suffix!r}", where=str(path), hint="Use .svg or .png.")
    write_bytes(path, writers[path.suffix](figure))


def ramp(count: int) -> list[str]:
    """Colours for things in an order, light to dark: agents from the cheapest to the dearest."""
    if count < 2:
        return [HUES[0]] * count
    return [_colors.to_hex(shade) for shade in mpl.colormaps["viridis"](np.linspace(0.80, 0.06, count))]


def shade(share: float) -> str:
    """Blue, the darker the larger a share is."""
    return str(_colors.to_hex(mpl.colormaps["Blues"](share)))


def ink_on(colour: str) -> str:
    """Black or white, whichever is read more easily on a colour."""
    red, green, blue = _colors.to_rgb(colour)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def darken_for_text(colour: str) -> str:
    """The colour for letters on white: a light one a shade darker."""
    if ink_on(colour) != INK or colour == INK:
        return colour
    return str(_colors.to_hex(0.72 * np.array(_colors.to_rgb(colour))))


def fade(colour: str) -> tuple[float, float, float, float]:
    """The colour for intervals: half as strong."""
    red, green, blue = _colors.to_rgb(colour)
    return (red, green, blue, 0.5)


def percent(axes: Axes, label: str, *, grid: bool = True) -> None:
    """Shares on the upright axis, in percent."""
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, decimals=0, symbol=" %"))
    axes.set_ylabel(label)
    axes.grid(visible=grid, axis="y")


def whiskers(found: Sequence[Interval]) -> Floats:
    """(2, N) distances down and up to the intervals' ends; 0 where there is no interval."""
    return np.array(
        [
            [0.0 if one.low is None else max(one.value - one.low, 0.0) for one in found],
            [0.0 if one.high is None else max(one.high - one.value, 0.0) for one in found],
        ]
    )


def error_bars(axes: Axes, places: ArrayLike, found: Sequence[Interval]) -> None:
    """Whiskers of bars, dark on a white halo so that they show on any colour."""
    values, ends = [one.value for one in found], whiskers(found)
    axes.errorbar(places, values, yerr=ends, fmt="none", ecolor="white", elinewidth=1.8)
    axes.errorbar(places, values, yerr=ends, fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.5, capthick=0.7)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near as can be to those wanted, at least `gap` apart, in the same order, within the bounds."""
    order = np.argsort(np.asarray(wanted, dtype=np.float64), kind="stable")
    gap = min(gap, (high - low) / max(len(order) - 1, 1))
    blocks: list[list[float]] = []
    for at, place in enumerate(order):
        blocks.append([wanted[place] - at * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last, before = blocks.pop(), blocks.pop()
            size = last[1] + before[1]
            blocks.append([(last[0] * last[1] + before[0] * before[1]) / size, size])
    bases = [base for base, size in blocks for _ in range(int(size))]
    found = [0.0] * len(order)
    for at, place in enumerate(order):
        found[place] = min(max(bases[at], low), high - (len(order) - 1) * gap) + at * gap
    return found


def end_labels(axes: Axes, ends: Sequence[tuple[str, float, float, str]], *, size: float = 6.5) -> None:
    """Names of lines to the right of the plot, moved apart, each joined to its line's end by a hair line.

    Args:
        axes: Its limits must be final.
        ends: Name, x, y and colour of each.
        size: Of the letters, in points.
    """
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    line = (high - low) * size * 1.3 * axes.figure.dpi / 72 / axes.get_window_extent().height
    heights = spread([y for _, _, y, _ in ends], line, low + line / 2, high - line / 2)
    for (name, x, y, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            name,
            (x, y),
            xytext=(1.035, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=colour,
            fontsize=size,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "ls": (0, (1, 2)), "shrinkA": 1, "shrinkB": 3},
        )


def point_labels(
    axes: Axes, points: Sequence[tuple[str, float, float, str]], lines: Sequence[Floats], *, size: float = 6.5
) -> None:
    """Names beside points, each on the side where it hides least of points, lines and other names.

    Args:
        axes: Its limits must be final.
        points: Name, x, y and colour of each.
        lines: Each of shape (N, 2): corners of what else is drawn.
        size: Of the letters, in points.
    """
    axes.figure.draw_without_rendering()
    scale = axes.figure.dpi / 72
    frame: Floats = axes.get_window_extent().extents
    spots: Floats = axes.transData.transform([(x, y) for _, x, y, _ in points])
    hidden = [_boxes(spots, 6 * scale), *(_beads(axes.transData.transform(line), 1.5 * scale) for line in lines)]
    taken = np.concatenate(hidden)
    for (name, x, y, colour), spot in zip(points, spots, strict=True):
        text = axes.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", color=colour, fontsize=size)
        box = text.get_window_extent()
        sides = _sides(box.width / scale, box.height / scale)
        placed = np.tile(spot, 2) + sides * scale
        away = np.hypot((sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2)
        outside = box.width * box.height - _shared(placed, frame[None])[:, 0]
        best = int(np.argmin(_shared(placed, taken).sum(axis=1) + 2 * outside + 0.5 * scale**2 * away))
        text.set_position((float(sides[best, 0]), float(sides[best, 1])))
        taken = np.concatenate([taken, placed[best : best + 1]])


def _boxes(centres: Floats, width: float) -> Floats:
    """(N, 4): left, bottom, right and top of squares."""
    return np.hstack([centres - width / 2, centres + width / 2])


def _beads(corners: Floats, width: float) -> Floats:
    """Small boxes along a line, for labels to keep off."""
    found: list[Floats] = [_boxes(corners, width)]
    for start, end in itertools.pairwise(corners):
        steps = np.linspace(0.0, 1.0, max(2, int(np.hypot(*(end - start)) / width) + 1))
        found.append(_boxes(start + steps[:, None] * (end - start), width))
    return np.concatenate(found)


def _sides(width: float, height: float) -> Floats:
    """(24, 4): where a label may stand, in points from its own point; the most natural first."""
    found: list[tuple[float, float]] = []
    for away in (4.0, 9.0, 15.0):
        right, left, middle = away, -away - width, -width / 2
        above, below, level = away - 1, -away - height + 2, -height / 2 + 1
        found += [(right, level), (right, above), (right, below), (left, level), (left, above), (left, below)]
        found += [(middle, above + 1), (middle, below - 1)]
    corners = np.array(found)
    return np.hstack([corners, corners + np.array([width, height])])


def _shared(one: Floats, other: Floats) -> Floats:
    """(N, M): area that each of N boxes shares with each of M."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return np.prod(np.maximum(high - low, 0.0), axis=2)
