"""Figures and times as people read them. Pure functions; the templates' filters."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from sale.auction.jury_words import describe_jury
from sale.wording import DRIVING, quantity

Z = 1.959963984540054
"""Of a 95 % interval."""
NOTHING = 5e-10
SPACE = "\u00a0"
"""Between a figure and its unit, where no line is broken."""
MINUS = "−\u2060"
"""Before a dollar sign. Without the joiner a line could be broken between the two."""
_CONTROL = re.compile(rf"[{DRIVING}\ud800-\udfff]")


def money(dollars: float | None) -> str:
    """Dollars, with as many digits as small sums need."""
    if dollars is None or not math.isfinite(dollars):
        return "–"
    if abs(dollars) < NOTHING:
        return "$0"
    sign, size = (MINUS if dollars < 0 else ""), abs(dollars)
    if size >= 1:
        return f"{sign}${size:,.2f}"
    digits = max(2, min(9, 2 - math.floor(math.log10(size))))
    return f"{sign}${size:.{digits}f}"


def round_money(dollars: float | None) -> str:
    """Dollars of a round sum, as axes have them, without needless zeros."""
    whole, point, cents = money(dollars).partition(".")
    return f"{whole}{point}{cents[:2]}{cents[2:].rstrip('0')}"


def micro(value: float | None) -> str:
    """Micro-dollars, the unit of C and V."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 100 else f"{value:,.1f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share of one, in per cent."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.0f}{SPACE}%"


def number(value: float | None) -> str:
    """A number with thousands apart, or three figures of a small one."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def seconds(value: float | None) -> str:
    """A duration."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 60:
        return f"{value:.1f}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest:02}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02}{SPACE}min"


def moment(at: datetime | str | None) -> str:
    """An instant in UTC, to the minute."""
    if at is None:
        return "–"
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def machine_moment(at: datetime | str | None) -> str:
    """The same for programs: the `datetime` of a `time` element."""
    if at is None:
        return ""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def size(count: int) -> str:
    """Bytes."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f}{SPACE}{unit}"
        value /= 1000
    return f"{value:.1f}{SPACE}GB"


def clip(text: str, length: int = 160) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(plain(text).split())
    return line if len(line) <= length else f"{line[:length].rstrip()} …"


def plain(text: str) -> str:
    """Text of a model without what could hide or turn round what stands beside it, or what no encoding has."""
    return _CONTROL.sub("�", text)


def short(auction_id: str) -> str:
    """The beginning of an id: enough to name an auction in a row."""
    return auction_id[:8]


def pretty(value: object) -> str:
    """A value of a trace as text: JSON unless it is text already."""
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str))


def message(entry: Mapping[str, object]) -> tuple[str, str, str]:
    """A message of a trace: whose it is, its text, and whatever else it holds as JSON."""
    role = str(entry.get("role") or entry.get("kind") or "message")
    content = entry.get("content")
    if isinstance(content, str):
        rest = {key: value for key, value in entry.items() if key not in {"role", "kind", "content"}}
        return role, plain(content), pretty(rest) if rest else ""
    parts = entry.get("parts")
    texts = _texts(cast("Sequence[object]", parts)) if isinstance(parts, list | tuple) else []
    if texts:
        return role, "\n\n".join(texts), ""
    rest = {key: value for key, value in entry.items() if key not in {"role", "kind"}}
    return role, "", pretty(rest)


def _texts(parts: Sequence[object]) -> list[str]:
    """The texts of a message in parts; nothing where one part is not text, so that none is left out unseen."""
    found: list[str] = []
    for part in parts:
        fields = cast("Mapping[str, object]", part) if isinstance(part, Mapping) else {"content": part}
        content = fields.get("content")
        if not isinstance(content, str):
            return []
        named = fields.get("part_kind") or fields.get("tool_name")
        found.append(f"[{named}] {plain(content)}" if named else plain(content))
    return found


def wilson(good: int, trials: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a rate; `None` without a trial."""
    if trials <= 0:
        return None
    rate, z2 = good / trials, Z * Z
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    reach = Z * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The mean and its 95 % interval by the normal approximation; `None` for fewer than two."""
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)
    return mean, mean - Z * spread, mean + Z * spread


FILTERS = {
    "money": money,
    "micro": micro,
    "percent": percent,
    "number": number,
    "seconds": seconds,
    "moment": moment,
    "machine_moment": machine_moment,
    "size": size,
    "clip": clip,
    "short": short,
    "quantity": quantity,
    "jury": describe_jury,
    "message": message,
}
