"""A cap in dollars that holds through a kill: what a call may cost at most is set aside, on disk, before it is made.

A line `reserved` with the most a step can cost is written before it, a line `paid` with what it did cost after it. What
was set aside and never paid (the process died, the call failed) counts in full: it may have been billed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sale.bench.recording.calls import RunEndedError

ROUNDING = 1e-12


class CapReachedError(RunEndedError):
    """The next step could cost more than is left."""


class Purse:
    """Dollars that may be spent, and those that were."""

    def __init__(self, cap: float, append: Callable[[dict[str, Any]], None]) -> None:
        """Nothing is spent yet.

        Args:
            cap: In dollars, over all runs of the record.
            append: Writes a line to the record.
        """
        self.cap = cap
        self._append = append
        self._paid = 0.0
        self._open: dict[int, float] = {}
        self._lost = 0.0
        self._next = 0
        self._settled = asyncio.Condition()

    def read(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take in what is on record."""
        found: dict[int, float] = {}
        for line in lines:
            if line["kind"] == "reserved":
                found[line["number"]] = line["dollars"]
                self._next = max(self._next, line["number"] + 1)
            elif line["kind"] == "paid":
                found.pop(line["number"], None)
                self._paid += line["dollars"]
        self._lost += sum(found.values())

    @property
    def spent(self) -> float:
        """Dollars paid, and those set aside for steps that were cut short."""
        return self._paid + self._lost

    @property
    def left(self) -> float:
        """Dollars that are neither spent nor set aside."""
        return self.cap - self.spent - sum(self._open.values())

    async def reserve(self, most: float) -> int:
        """Set aside the most a step can cost; gives back its number. Waits for steps under way where that may help.

        Raises:
            CapReachedError: It is more than is left.
        """
        async with self._settled:
            while most > self.left + ROUNDING:
                if not self._open or most > self.cap - self.spent + ROUNDING:
                    raise CapReachedError(f"a step may cost ${most:.4g}, and ${max(0.0, self.left):.4g} is left")
                await self._settled.wait()
            number, self._next = self._next, self._next + 1
            self._open[number] = most
            self._append({"kind": "reserved", "number": number, "dollars": most})
            return number

    async def pay(self, number: int, dollars: float) -> None:
        """Record what the step did cost, in dollars, and release what was set aside for it."""
        async with self._settled:
            self._open.pop(number)
            self._paid += dollars
            self._append({"kind": "paid", "number": number, "dollars": dollars})
            self._settled.notify_all()

    def spend(self, dollars: float) -> None:
        """Dollars that could not be set aside before."""
        self._paid += dollars
        self._append({"kind": "paid", "number": -1, "dollars": dollars})

    async def lose(self, number: int) -> None:
        """The step was cut short: what was set aside for it counts as spent."""
        async with self._settled:
            self._lost += self._open.pop(number)
            self._settled.notify_all()
