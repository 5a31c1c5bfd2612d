"""SALE behind the routers' interface, and its ablations (method, sections 2 and 4).

Bids and votes are on record; what wins is decided by `sale.auction.scoring`, the market's own rule, from the values
an ablation leaves. Refinement needs a memory and with it an order of the tasks: that is `order_table`. The panel jury
saw all plans at once, so a coalition of agents is scored as the whole pool was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from sale.auction import scoring
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedExecution, RecordedTasks
from sale.bench.routers.protocol import Floats, OutcomeTable, Routing
from sale.bench.shapley import coalitions
from sale.types import Bid, Price, Score, Weights

Change = Callable[[Sequence[Bid]], Sequence[Bid]]
"""The change an ablation makes to the bids of one auction before they are weighed."""


@dataclass(frozen=True, slots=True)
class SaleRouter:
    """The auction of first bids over recorded plans and votes, with any weights."""

    name: str
    auctions: Mapping[str, AuctionRow]
    """By task."""
    weights: Weights
    change: Change | None = None
    agents: frozenset[str] | None = None
    """Only these take part; everybody unless given."""

    def fit(self, train: OutcomeTable, /) -> None:
        """Nothing to fit: the weights are given."""

    def route(self, test: OutcomeTable, /) -> Routing:
        """The winner of every auction. Without a bid no agent is called: the task is not done."""
        order = {agent: number for number, agent in enumerate(test.agents)}
        rows = [self.auctions[task] for task in test.ids]
        winners = [self.winner(row) for row in rows]
        routing = Routing.of(np.array([order[name] if name else 0 for name in winners], np.intp), len(test.agents))
        routing.called[[name is None for name in winners]] = False
        return replace(
            routing,
            extra_dollars=np.array([row.first_dollars for row in rows]),
            extra_tokens=np.array([float(row.first_tokens) for row in rows]),
        )

    def winner(self, row: AuctionRow) -> str | None:
        """Return the winner of an auction under these weights."""
        bids = [bid for bid in row.bids if self.agents is None or bid.agent in self.agents]
        if self.change is not None:
            bids = list(self.change(bids))
        if not bids:
            return None
        weighed = [scoring.weigh(bid.strategy, bid.price, bid.scores, self.weights) for bid in bids]
        return scoring.provisional_winner(weighed).agent


def default_weights(recorded: RecordedTasks) -> Weights:
    """The published rule with the market's stated prior for the recorded pool; its jurors are those that it asked."""
    prices = {
        name: Price(input=price, output=price, blended=price)
        for name, price in zip(recorded.agents, recorded.prices, strict=True)
    }
    judges = {
        score.juror
        for (order, _), row in recorded.auctions.items()
        if order == FIRST_BIDS
        for bid in row.bids
        for score in bid.scores
    }
    return scoring.default_weights(prices, sorted(judges), base_rates=False)


def ablations(recorded: RecordedTasks, weights: Weights) -> list[SaleRouter]:
    """SALE without memory, whole and with one thing taken out each time (the paper's ablations)."""
    auctions = {task: row for (order, task), row in recorded.auctions.items() if order == FIRST_BIDS}
    bids = [bid for row in auctions.values() for bid in row.bids]
    price = fmean(bid.price for bid in bids) if bids else 0.0
    length = round(fmean(bid.strategy.tokens for bid in bids)) if bids else 1

    def same_price(given: Sequence[Bid]) -> list[Bid]:
        return [replace(bid, price=price) for bid in given]

    def same_length(given: Sequence[Bid]) -> list[Bid]:
        return [replace(bid, strategy=replace(bid.strategy, tokens=length)) for bid in given]

    jurors = sorted({score.juror for bid in bids for score in bid.scores})
    found = [
        SaleRouter("SALE without memory", auctions, weights),
        SaleRouter("no price", auctions, weights, same_price),
        SaleRouter("no length", auctions, weights, same_length),
        SaleRouter("no entropy", auctions, replace(weights, entropy=0.0)),
        SaleRouter("no jury", auctions, replace(weights, jurors={})),
        SaleRouter("self-feedback only", auctions, weights, _keep(lambda score: score.juror == score.bidder)),
        SaleRouter("peer feedback only", auctions, weights, _keep(lambda score: score.juror != score.bidder)),
    ]
    for juror in jurors:
        left = {name: weight for name, weight in weights.jurors.items() if name != juror}
        found.append(SaleRouter(f"without juror {juror}", auctions, _same_total(weights, left)))
    return found


def coalition_success(recorded: RecordedTasks) -> Floats:
    """(2^N, T): what SALE without memory reaches with the members of each coalition, in `shapley.coalitions`' order.

    The votes are those of the whole jury on the whole pool's plans: what it would have said of fewer is not known.
    """
    whole = ablations(recorded, default_weights(recorded))[0]
    table = recorded.table(planned=True)
    values = np.zeros((1 << len(table.agents), len(table)))
    for place, members in enumerate(coalitions(len(table.agents))):
        some = replace(whole, agents=frozenset(table.agents[number] for number in members))
        for row, task in enumerate(table.ids):
            winner = some.winner(whole.auctions[task])
            if winner is not None:
                values[place, row] = table.success[row, table.agents.index(winner)]
    return values


def _keep(wanted: Callable[[Score], bool]) -> Change:
    """Bids with some of their scores only, which take the weight of the others: the value keeps its scale."""

    def change(bids: Sequence[Bid]) -> list[Bid]:
        kept: list[Bid] = []
        for bid in bids:
            some = [score.value for score in bid.scores if wanted(score)]
            mean = fmean(some) if some else scoring.MAX_SCORE / 2
            kept.append(replace(bid, scores=tuple(replace(score, value=mean) for score in bid.scores)))
        return kept

    return change


def _same_total(weights: Weights, left: Mapping[str, float]) -> Weights:
    """The jurors that are left, with the weight of all."""
    total, rest = sum(weights.jurors.values()), sum(left.values())
    scale = total / rest if rest > 0 else 0.0
    return replace(weights, jurors={name: weight * scale for name, weight in left.items()})


def in_order(recorded: RecordedTasks, order: str) -> list[tuple[AuctionRow, RecordedExecution | None]]:
    """The whole market over one recorded task order: its auctions, first to last, and the work of their winners."""
    rows = [recorded.auctions[order, task.id] for task in recorded.tasks]
    rows.sort(key=lambda row: row.position or 0)
    return [(row, recorded.works[row.task, row.winner, row.strategy] if row.winner else None) for row in rows]


def order_table(recorded: RecordedTasks, order: str) -> tuple[OutcomeTable, Routing]:
    """One recorded task order as a table and its routing: the winner's column holds the work it really did."""
    table = recorded.table(planned=True)
    success, dollars = table.success.copy(), table.dollars.copy()
    tokens = table.tokens.copy() if table.tokens is not None else np.zeros_like(dollars)
    place = {task: number for number, task in enumerate(table.ids)}
    columns = {agent: number for number, agent in enumerate(table.agents)}
    chosen = np.zeros(len(table), dtype=np.intp)
    extra_dollars, extra_tokens = np.zeros(len(table)), np.zeros(len(table))
    for row, work in in_order(recorded, order):
        at = place[row.task]
        extra_dollars[at], extra_tokens[at] = row.dollars, row.tokens
        if work is not None:
            column = columns[work.agent]
            chosen[at] = column
            success[at, column], dollars[at, column] = float(work.success), work.dollars
            tokens[at, column] = work.tokens
    routing = replace(Routing.of(chosen, len(table.agents)), extra_dollars=extra_dollars, extra_tokens=extra_tokens)
    return replace(table, success=success, dollars=dollars, tokens=tokens), routing
