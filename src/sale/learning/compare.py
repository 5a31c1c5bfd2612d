"""The choices of other weights on past traffic, with an estimate of their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sale.errors import InputError
from sale.learning.dataset import CompletedOutcomes, Ints, Table, agent_prices, split, tabulate
from sale.learning.decision import choose_bids
from sale.learning.intervals import mean_interval
from sale.learning.missing_outcomes import (
    Consequences,
    OutcomeEstimate,
    complete,
    consequences,
    estimate_dollars,
    estimate_success,
)
from sale.types import Example, Weights

RECORDED = "as awarded"
"""The name of what was really done, among what is compared."""
FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayedDecisions:
    """Past auctions decided by some weights. The auction's own cost is what it was."""

    auctions: int
    awards: Mapping[str, int]
    """By agent, how many tasks it would have been given."""
    agreed: float
    """Share of auctions with the same award as was made."""
    reliance: float
    """Share awarded to the dearest agent."""
    success: OutcomeEstimate
    """pass@1."""
    dollars: OutcomeEstimate
    """A task, auction included."""
    modelled: float
    """pass@1 with a success model's P̂ where the outcome is not known: a guess, not an estimate."""
    gain: tuple[float, float, float] | None
    """pass@1 above what was really awarded, with its paired 95 % interval; `None` where either is not known."""


def compare(
    examples: Sequence[Example], named: Mapping[str, Weights], *, seed: int = 0
) -> dict[str, ReplayedDecisions]:
    """Decide past auctions again, by each of some weights; `as awarded` is what was really done.

    Outcomes are exact where known, doubly robust where awards explored, and otherwise unknown: bounds then. Weights
    that were fitted on these very auctions look better here than they are; `fit` says how they do on unseen tasks.

    Args:
        examples: The auctions; those whose winner is not among the bids are left out.
        named: Weights by name.
        seed: Draws the folds of the model that stands in for what is not known.

    Raises:
        InputError: No auction, or none with a known outcome; or a name that is taken.
    """
    if RECORDED in named:
        raise InputError(f"{RECORDED!r} is the name of what was really awarded", hint="Call the weights otherwise.")
    table = tabulate(examples)
    table = table.take(table.winner >= 0)
    if not len(table) or not (table.known & table.present).any():
        raise InputError("no past auction has a winner among its bids and a known outcome, so nothing can be compared")
    completed = complete(table, split(table, FOLDS, seed))
    columns = {RECORDED: table.winner} | {name: choose_bids(table, weights) for name, weights in named.items()}
    actual = _recorded(table, completed)
    return {
        name: _replayed(table, own, actual if name == RECORDED else consequences(table, own, completed), actual)
        for name, own in columns.items()
    }


def _recorded(table: Table, completed: CompletedOutcomes) -> Consequences:
    """Return the results of the awards as they were made; nothing is estimated."""
    rows = np.arange(len(table))
    success = table.success[rows, table.winner]
    return Consequences(
        success=success,
        dollars=completed.dollars[rows, table.winner] + table.overhead,
        modelled=np.where(np.isnan(success), completed.success[rows, table.winner], success),
        robust=np.zeros(len(table), np.bool_),
    )


def _replayed(table: Table, columns: Ints, found: Consequences, actual: Consequences) -> ReplayedDecisions:
    authors = table.author[np.arange(len(table)), columns]
    counts = np.bincount(authors, minlength=len(table.agents))
    prices = agent_prices(table)
    difference = found.success - actual.success
    return ReplayedDecisions(
        auctions=len(table),
        awards={agent: int(count) for agent, count in zip(table.agents, counts, strict=True)},
        agreed=float((authors == table.author[np.arange(len(table)), table.winner]).mean()),
        reliance=float((prices >= prices.max())[authors].mean()),
        success=estimate_success(found, table.group),
        dollars=estimate_dollars(found, table.group),
        modelled=float(found.modelled.mean()),
        gain=None if np.isnan(difference).any() else mean_interval(difference, table.group),
    )
