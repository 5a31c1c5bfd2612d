"""Human times: the bins a source fills in HST-Bench's published table, and times written by annotators as free text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

from sale.bench.tasks.schema import HumanTime

PUBLISHED: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "simpleqa": (0, 1),
        "popqa": (0, 1),
        "hotpotqa": (1, 2, 3),
        "gaia": (3, 4),
        "hle": (3, 4),
        "coding-mcq": (0,),
        "mbpp": (1, 2),
        "leetcode-medium": (2, 3),
        "leetcode-hard": (4,),
    }
)
"""Which bins each source fills in the published table, every bin it is listed in, however small its share there."""

MAPPING = "HST-Bench's published mapping of the source (arXiv 2602.02751)"
STAND_IN = f"stands in for HST-Bench's Coding-MCQ, which is not public; {MAPPING}"


def by_source(source: str) -> HumanTime:
    """The time of a task that was not timed: its source's bins."""
    return HumanTime(bins=PUBLISHED[source], provenance=MAPPING)


_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten|half an?)"
_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)"
_QUANTITY = re.compile(rf"({_NUMBER})\s*({_UNIT})(?![a-z])\.?")
_SPAN = rf"{_QUANTITY.pattern}(?:\s*(?:,|and|&|,\s*and)?\s*{_QUANTITY.pattern}){{0,2}}"
_DURATION = re.compile(_SPAN)
_TO = r"\s*(?:-|–|—|to|or)\s*"
_RANGE = re.compile(rf"(?P<low>{_SPAN}){_TO}(?P<high>{_SPAN})")
_SHORT_RANGE = re.compile(rf"(?P<low>{_NUMBER}){_TO}(?P<high>{_NUMBER})\s*(?P<unit>{_UNIT})\.?")
_ABOUT = re.compile(r"^(?:~|≈|about|around|approximately|approx\.?|roughly|circa|ca\.|between)\s*")
_WORDS = ("a", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MINUTES = MappingProxyType({"s": 1 / 60, "m": 1.0, "h": 60.0})


def minutes_of(written: str) -> float | None:
    """Minutes of a time written as free text; the mean of a range.

    "5 minutes", "~8 mins", "1 hour 30 minutes", "30 seconds", "5-10 minutes". `None` for whatever is not plainly one
    time or one range: a number without a unit, a bound ("< 1 minute"), several times at once, words.
    """
    said = " ".join(written.lower().split()).rstrip(".! ")
    said = _ABOUT.sub("", said).replace("half hour", "half an hour")
    if " and " in said and written.lower().strip().startswith("between"):
        said = said.replace(" and ", " to ", 1)
    whole = _DURATION.fullmatch(said)
    if whole:
        return _total(said)
    apart = _RANGE.fullmatch(said)
    if apart:
        return _mean(_total(apart["low"]), _total(apart["high"]))
    short = _SHORT_RANGE.fullmatch(said)
    if short:
        return _mean(*(_total(f"{short[end]} {short['unit']}") for end in ("low", "high")))
    return None


def _total(duration: str) -> float | None:
    """The sum of quantities whose units descend: `1 hour 30 minutes`."""
    parts = [(_amount(number), _MINUTES[unit[0]]) for number, unit in _QUANTITY.findall(duration)]
    units = [unit for _, unit in parts]
    descending = all(earlier > later for earlier, later in pairwise(units))
    total = sum(amount * unit for amount, unit in parts)
    return total if descending and total > 0 else None


def _mean(low: float | None, high: float | None) -> float | None:
    return (low + high) / 2 if low is not None and high is not None and low <= high else None


def _amount(number: str) -> float:
    if number.startswith("half"):
        return 0.5
    word = "a" if number == "an" else number
    return float(max(1, _WORDS.index(word))) if word in _WORDS else float(number)
