"""From values to places: round ticks, and a frame to draw in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from sale.server.dashboard.formatting import plain

CHARACTER = 7.0
"""Width of a digit of an axis, in pixels."""
LABEL_GAP = 12
"""Between the edge, a label and its axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A drawing's size, in pixels, and the margins its axes take."""

    width: int
    height: int
    left: int = 58
    right: int = 14
    top: int = 12
    bottom: int = 30

    @property
    def inner_width(self) -> float:
        """Width left to draw in, in pixels."""
        return float(self.width - self.left - self.right)

    @property
    def inner_height(self) -> float:
        """Height left to draw in, in pixels."""
        return float(self.height - self.top - self.bottom)

    def with_room_for(self, labels: Sequence[str]) -> Frame:
        """The same with a left margin wide enough for the longest of these labels."""
        longest = max((len(label) for label in labels), default=0)
        return replace(self, left=max(self.left, math.ceil(longest * CHARACTER) + LABEL_GAP))

    @property
    def foot(self) -> float:
        """Where the horizontal axis is."""
        return self.top + self.inner_height


WIDE = Frame(width=860, height=280)
NARROW = Frame(width=340, height=230, left=50, right=8)
SIZES = (("wide", WIDE), ("narrow", NARROW))
"""Drawn twice, and shown by the width there is: a drawing that is scaled has letters too small to read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A range of values on a range of pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values that cover a range, `low` and `high` included."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def px(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, *inside: Markup | str, **given: object) -> Markup:
    """An element; names of attributes with `_` for `-`, `class_` for `class`, and whatever is given escaped."""
    attributes = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _written(value))
        for key, value in given.items()
        if value is not None
    )
    content = Markup("").join(part if isinstance(part, Markup) else escape(plain(part)) for part in inside)
    return Markup("<{}{}>{}</{}>").format(Markup(name), attributes, content, Markup(name))  # noqa: S704  names are ours


def _written(value: object) -> str:
    return px(value) if isinstance(value, float) else plain(str(value))
