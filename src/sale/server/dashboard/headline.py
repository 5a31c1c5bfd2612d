"""Sums over auctions: spending, savings, success. Pure functions of the memory's figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sale.memory.figures import AuctionFigures
from sale.server.dashboard.formatting import mean_interval, wilson


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """The sums over auctions."""

    auctions: int
    judged: int
    successes: int
    success_range: tuple[float, float] | None
    """Wilson's 95 % interval."""
    auction_dollars: float
    work_dollars: float
    compared: int
    """Auctions with an always-largest figure; the three below are over these."""
    compared_dollars: float
    largest_dollars: float
    estimated: int
    """Those whose always-largest figure is an estimate."""
    saved_range: tuple[float, float] | None
    """95 % interval of the dollars saved, as tasks vary; `None` for fewer than two."""
    largest: tuple[str, ...]

    @property
    def dollars(self) -> float:
        """All that was paid."""
        return self.auction_dollars + self.work_dollars

    @property
    def overhead(self) -> float | None:
        """The auctions' share of it."""
        return self.auction_dollars / self.dollars if self.dollars > 0 else None

    @property
    def success(self) -> float | None:
        """Share of the judged ones."""
        return self.successes / self.judged if self.judged else None

    @property
    def saved(self) -> float:
        """Against always-largest, auctions counted; negative where the market cost more."""
        return self.largest_dollars - self.compared_dollars

    @property
    def saved_share(self) -> float | None:
        """Of what always-largest would have cost."""
        return self.saved / self.largest_dollars if self.largest_dollars > 0 else None


def headline(auctions: Sequence[AuctionFigures]) -> Headline:
    """Add them up."""
    judged = [one for one in auctions if one.verdict in {"success", "failure"}]
    successes = sum(one.verdict == "success" for one in judged)
    compared = [one for one in auctions if one.largest_dollars is not None]
    saved = mean_interval([one.saved or 0.0 for one in compared])
    return Headline(
        auctions=len(auctions),
        judged=len(judged),
        successes=successes,
        success_range=wilson(successes, len(judged)),
        auction_dollars=math.fsum(one.auction_dollars for one in auctions),
        work_dollars=math.fsum(one.work_dollars for one in auctions),
        compared=len(compared),
        compared_dollars=math.fsum(one.dollars for one in compared),
        largest_dollars=math.fsum(one.largest_dollars or 0.0 for one in compared),
        estimated=sum(one.estimated for one in compared),
        saved_range=None if saved is None else (saved[1] * len(compared), saved[2] * len(compared)),
        largest=tuple(sorted({one.largest for one in compared if one.largest is not None})),
    )
