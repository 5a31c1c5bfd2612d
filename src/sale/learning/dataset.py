"""Examples as arrays: bids padded to one shape, in the order in which the market breaks ties.

Two regimes. Where everybody's work was recorded (a bench run) all outcomes are known; where a market ran, the winner's
alone. What is not known is NaN here, never 0; `sale.learning.missing_outcomes` says what is done about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sale.auction.scoring import costed_tokens
from sale.auction.success_model import ENTROPY, LENGTH, bid_features, juror_feature, lead_feature, strategy_told
from sale.errors import InputError
from sale.types import Bid, Example, TrackRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

MICRO = 1e6
"""Micro-dollars in a dollar."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """T auctions with at most N bids each, padded on the right; F features, J jurors, A agents.

    Bids stand in the order of price, then name: of equal scores the first one wins, as in `scoring.rank`.
    """

    group: Ints
    """(T,) auctions with one task text share a number."""
    author: Ints
    """(T, N) place in `agents`; −1 where there is no bid."""
    outlay: Floats
    """(T, N) π · |s|, micro-dollars; 0 where there is no bid."""
    price: Floats
    """(T, N) π, dollars per million tokens; 0 where there is no bid."""
    features: Floats
    """(T, N, F) of `success_model.bid_features`; NaN where unknown."""
    scores: Floats
    """(T, N, J) γ of each juror as equation 3 counts it, also where it had nothing to read; NaN where there is none."""
    tracks: NDArray[np.object_]
    """(T, N) the author's track record, or `None`."""
    success: Floats
    """(T, N) 1 solved, 0 failed, between them where a check says so that may be wrong; NaN not known."""
    dollars: Floats
    """(T, N) of the work; NaN not known."""
    winner: Ints
    """(T,) column of the bid that was awarded the task; −1 where its author is not among the bids."""
    propensity: Floats
    """(T, N) probability of the award, where awards explored; NaN where they did not."""
    overhead: Floats
    """(T,) dollars of the auction itself."""
    checked: Bools
    """(T,) where failed work is found out."""
    agents: tuple[str, ...]
    jurors: tuple[str, ...]
    names: tuple[str, ...]
    """(F,) of the features: entropy, length, the jurors' scores, then their leads where any are on record."""
    finders: tuple[str, ...]
    """The jurors that read what agents found and not their plans: they have spoken on a bid without a plan, or
    abstained on one with."""

    def __len__(self) -> int:
        return len(self.group)

    @property
    def present(self) -> Bools:
        """(T, N) where there is a bid."""
        return self.author >= 0

    @property
    def entropy(self) -> Floats:
        """(T, N)."""
        return self.features[..., 0]

    @property
    def known(self) -> Bools:
        """(T, N) where the outcome is."""
        return ~np.isnan(self.success)

    @property
    def complete(self) -> Bools:
        """(T,) auctions of which everybody's outcome and cost is known."""
        lacking = self.present & (np.isnan(self.success) | np.isnan(self.dollars))
        return lacking.sum(axis=1) == 0

    def take(self, rows: Ints | Bools) -> Table:
        """Some auctions of it; agents, jurors and features keep their numbers."""
        held: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: part[rows] for name, part in held.items() if isinstance(part, np.ndarray)})


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletedOutcomes:
    """Success and cost of every bid, observed or estimated."""

    success: Floats
    """(T, N) for learning: 0 or 1 where observed, else an estimate; 0 where there is no bid."""
    dollars: Floats
    """(T, N) of the work, or the agent's average; 0 where there is no bid."""
    guess: Floats
    """(T, N) P̂ of a model that has not seen the task; NaN where everything is known and none was needed."""
    average: Floats
    """(T, N) what the work of the bid's author costs on average, in dollars."""
    notes: tuple[str, ...]

    def take(self, rows: Ints | Bools) -> CompletedOutcomes:
        """Those of some auctions."""
        held: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: part[rows] for name, part in held.items() if isinstance(part, np.ndarray)})


def tabulate(examples: Sequence[Example]) -> Table:
    """Examples to arrays; those without a bid are left out.

    Raises:
        InputError: Nothing is left, or a figure in the records is not finite.
    """
    held = [example for example in examples if example.bids]
    if not held:
        raise InputError(
            "there is no past auction with a bid to learn from", hint="Run some tasks first, with outcomes."
        )
    agents = tuple(sorted({bid.agent for example in held for bid in example.bids}))
    scores = [score for example in held for bid in example.bids for score in bid.scores]
    jurors = tuple(sorted({score.juror for score in scores}))
    leading = sorted({score.juror for score in scores if score.lead is not None})
    names = (ENTROPY, LENGTH, *map(juror_feature, jurors), *map(lead_feature, leading))
    shape = (len(held), max(len(example.bids) for example in held))
    table = Table(
        group=_groups(held),
        author=np.full(shape, -1, np.intp),
        outlay=np.zeros(shape),
        price=np.zeros(shape),
        features=np.full((*shape, len(names)), np.nan),
        scores=np.full((*shape, len(jurors)), np.nan),
        tracks=np.full(shape, None, np.object_),
        success=np.full(shape, np.nan),
        dollars=np.full(shape, np.nan),
        winner=np.full(len(held), -1, np.intp),
        propensity=np.full(shape, np.nan),
        overhead=np.array([example.overhead for example in held], np.float64),
        checked=np.array([example.checked for example in held], np.bool_),
        agents=agents,
        jurors=jurors,
        names=names,
        finders=_finders(held, jurors),
    )
    places = {name: place for place, name in enumerate(agents)}
    columns = {name: column for column, name in enumerate(names)}
    for row, example in enumerate(held):
        _enter(table, row, example, places, columns)
    _check(table, held)
    return table


def _finders(examples: Sequence[Example], jurors: Sequence[str]) -> tuple[str, ...]:
    """Which jurors read what agents found, by what they have spoken on."""
    found = {
        score.juror
        for example in examples
        for bid in example.bids
        for score in bid.scores
        if (score.abstained if bid.planned else not score.imputed)
    }
    return tuple(juror for juror in jurors if juror in found)


def _enter(table: Table, row: int, example: Example, places: dict[str, int], columns: dict[str, int]) -> None:
    """Write one auction into its row."""
    for column, bid in enumerate(sorted(example.bids, key=_tie_order)):
        at = (row, column)
        table.author[at] = places[bid.agent]
        table.price[at] = bid.price
        table.outlay[at] = bid.price * costed_tokens(bid.strategy)
        for name, value in bid_features(strategy_told(bid.strategy, bid.scores), bid.scores).items():
            table.features[row, column, columns[name]] = value
        for score in bid.scores:
            table.scores[row, column, table.jurors.index(score.juror)] = score.value
        table.tracks[at] = bid.track
        work = example.work.get(bid.agent)
        if work is not None:
            table.success[at] = float(work.success) if work.right is None else work.right
            table.dollars[at] = np.nan if work.dollars is None else work.dollars
        if example.propensities:
            table.propensity[at] = example.propensities.get(bid.agent, 0.0)
        if bid.agent == example.winner:
            table.winner[row] = column


def _tie_order(bid: Bid) -> tuple[float, str]:
    return (bid.price, bid.agent)


def _groups(examples: Sequence[Example]) -> Ints:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(example.task, len(numbers)) for example in examples], np.intp)


def _check(table: Table, examples: Sequence[Example]) -> None:
    """Figures that are not numbers would pass silently for unknown ones."""
    for row, example in enumerate(examples):
        costs = [work.dollars for work in example.work.values() if work.dollars is not None]
        said = [*costs, *example.propensities.values()]
        if not (np.isfinite(said).all() and np.isfinite(table.overhead[row]) and np.isfinite(table.outlay[row]).all()):
            raise InputError(
                f"the record of auction {example.auction_id!r} holds a figure that is not finite",
                hint="Leave it out, or correct it.",
            )


def observed_tracks(table: Table) -> list[tuple[int, int, TrackRecord]]:
    """Row, column and record of each bid that has one."""
    rows: list[list[TrackRecord | None]] = table.tracks.tolist()
    return [
        (row, column, record)
        for row, records in enumerate(rows)
        for column, record in enumerate(records)
        if record is not None
    ]


def agent_prices(table: Table) -> Floats:
    """(A,) the mean price each agent bid at."""
    flat, at = table.author[table.present], table.price[table.present]
    total = np.bincount(flat, weights=at, minlength=len(table.agents))
    counts = np.bincount(flat, minlength=len(table.agents))
    return total / np.maximum(counts, 1)


def split(table: Table, folds: int, seed: int) -> Ints:
    """(T,) the fold of each auction: by task text, so that one task is never on both sides."""
    count = int(table.group.max()) + 1
    numbers = np.random.default_rng(seed).permutation(count) % folds
    return numbers[table.group].astype(np.intp)
