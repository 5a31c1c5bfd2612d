"""The worth of a solved task, found from a goal: as many tasks solved as by the best agent, or so much spent.

A goal is reached by what is done. Where auctions are held only if they are expected to pay, that hangs on the worth,
too: at a low one none is held, tasks are awarded by track records, and no bid says who would solve them. So the curve
follows the same rule: its awards are by bids where an auction would be held, with the auction's cost, and by track
records elsewhere. Read off a curve of auctions that would not be held, the worth gave the tasks of a market of private
knowledge to its cheapest agents (docs/private-knowledge.md).

The worth decides where on its curve of success against cost a market stands. Few people can say it in dollars. Made
from differences of success rates between agents it varies threefold between training sets (docs/decisions.md); what the
whole market does on tasks its models had not seen, and what that costs, is known better.

On n tasks both are step functions of the worth with at most a few steps a task, and the place of one step hangs on the
last digits of a single P̂. So a worth is never read off one step: it is read off many resamples of the tasks, between
the worths tried (bagging: Breiman, Machine Learning 1996). Of a share their logarithms are averaged. Of a match such a
part is taken that with few tasks, which tell little, more is spent and not fewer tasks solved.

Tasks with bids of one agent alone, past work that was imported for instance, come out the same at every worth and take
no part in the curve. Where an agent has no bid, its rate stands in: one that joined late did not fail before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special as scipy_special

from sale.auction.attempt_order import PERFECT
from sale.errors import InputError
from sale.learning.attempts import AttemptOutcomes, follow_attempts
from sale.learning.dataset import MICRO, Bools, CompletedOutcomes, Floats, Table
from sale.learning.decision import BidPredictions
from sale.learning.samples import rate_posteriors, work_costs
from sale.types import CheckErrors, Holding

_special: Any = scipy_special  # scipy is untyped

GRID = 4001
"""Places in (0, 1) that the chance to be the best agent is summed over."""
MIN_WORTH_FACTOR, MAX_WORTH_FACTOR = 0.1, 1e3
"""Worths tried: from such a part of what the cheapest work costs to so many times what the dearest does."""
TRIED = 200
"""Number of worths tried, evenly by their logarithms."""
SATED = 0.99
"""Share of the largest possible spending above which nothing is left to buy: more would only pay for auctions."""
LEAP = 0.25
"""Share of the largest possible spending that a step between two worths must bring to be more than one of many."""
NEAR = 1.05
"""A match may cost so many times what the best agent does, as far as that is known: agents that are as good cost about
the same, and a market that sends every task to one of them must not fall short of that money by a hair."""
SHORT = 0.5
"""Fewer tasks solved than this do not fall short: what counts is whole tasks."""
RESAMPLES = 200
SURE = 0.84
"""A match is as little as is enough on this share of them: one standard error on the safe side."""
SEED = 0
BEYOND = 2.0
"""The most a solved task more may cost beyond a match, in multiples of the price the best agent alone pays for one.

Chosen on the dev tasks of docs/private-knowledge.md. A match alone is a low bar where no agent is good at all kinds of
task.
"""


@dataclass(frozen=True, slots=True)
class SpendShare:
    """As much as a share of the money buys."""

    share: float
    """Of what the best agent alone would cost."""
    attempts: int = 1
    """Number of agents that may try a task whose failures are detected; their cost is in the share."""
    hold: Holding = "worthwhile"
    """When the market holds an auction (`auction.hold`)."""
    check: CheckErrors = PERFECT
    """Error rates of the check that detects failures."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.share) and self.share > 0.0):
            raise InputError(
                f"the share of the money must be above 0, got {self.share!r}",
                hint="0.5 is half of what the best agent alone would cost.",
            )
        if self.attempts < 1:
            raise InputError(f"attempts must be at least 1, got {self.attempts!r}")


@dataclass(frozen=True, slots=True)
class MatchBestAgent:
    """As little as solves as many tasks as the best agent alone, and more where that is cheap.

    Where the market is not sure to, as little as solves as many as it would if it spent what that agent costs.
    """

    attempts: int = 1
    """Number of agents that may try a task whose failures are detected."""
    hold: Holding = "worthwhile"
    """When the market holds an auction (`auction.hold`)."""
    beyond: float = BEYOND
    """A solved task more may always cost so many times what the best agent alone pays for one; 0: nothing is bought
    beyond the match."""
    check: CheckErrors = PERFECT
    """Error rates of the check that detects failures."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.beyond) and self.beyond >= 0.0):
            raise InputError(
                f"beyond must be a number from 0 on, got {self.beyond!r}",
                hint="2: a solved task more may cost twice what the best agent alone pays for one.",
            )


Wanted = float | SpendShare | MatchBestAgent
"""The worth of a solved task: dollars, or the goal it is found from."""
MATCH = MatchBestAgent()


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendCurve:
    """Success and cost of awards by the worth of a solved task, by models that had not seen the task.

    Of tasks with bids of several agents, if there are several. W worths by G different tasks; of the auctions of one
    task text the sums. Where every task is auctioned, auctions come on top: no worth makes them cheaper.
    """

    worths: Floats
    """(W,) dollars, ascending."""
    success: Floats
    """(W, G)"""
    dollars: Floats
    """(W, G)"""
    agents: Floats
    """(A, G) successes of each agent alone; its rate where it has no bid."""
    counts: Floats
    """(G,) auctions."""
    alone: float
    """Dollars of one task if the best agent does everything."""
    price: float
    """Dollars of one solved task then."""


def spend_curve(
    table: Table,
    prospects: BidPredictions,
    completed: CompletedOutcomes,
    attempts: int,
    hold: Holding = "worthwhile",
    check: CheckErrors = PERFECT,
) -> SpendCurve:
    """Award every task at each of many worths; where failures are found out others follow as the market would have it.

    Args:
        table: All auctions.
        prospects: Of their bids.
        completed: What came of each bid's work, or would.
        attempts: How many agents may try a task whose failures are found out.
        hold: When an auction is held.
        check: How often the check that finds failures is wrong.
    """
    whole, rows = table, contests(table)
    table, prospects, completed = table.take(rows), prospects.take(rows), completed.take(rows)
    group = np.unique(table.group, return_inverse=True)[1]
    works = prospects.works[table.present & (prospects.works > 0.0)] / MICRO
    low, high = (float(works.min()), float(works.max())) if len(works) else (1.0, 1.0)
    worths: Floats = np.geomspace(MIN_WORTH_FACTOR * low, MAX_WORTH_FACTOR * high, TRIED)
    found = [_follow(table, prospects, completed, float(worth), attempts, hold, check) for worth in worths]
    alone = [
        _of_agent(table.present & (table.author == agent), completed.success, float(rate))
        for agent, rate in enumerate(_rates(whole))
    ]

    def by_task(rows: list[Floats]) -> Floats:
        return np.stack([np.bincount(group, weights=row).astype(np.float64) for row in rows])

    return SpendCurve(
        worths=worths,
        success=by_task([one.success for one in found]),
        dollars=by_task([one.dollars for one in found]),
        agents=by_task(alone),
        counts=np.bincount(group).astype(np.float64),
        alone=best_agent_cost(whole),
        price=best_agent_price(whole),
    )


def contests(table: Table) -> Bools:
    """(T,) tasks with bids of several agents, where there are several: on others no award depends on a worth."""
    several = np.array([len(set(row[row >= 0].tolist())) > 1 for row in table.author], np.bool_)
    return several if len(table.agents) > 1 else np.ones_like(several)


def _of_agent(own: Bools, success: Floats, rate: float) -> Floats:
    """(T,) success of an agent's best bid, its rate where it has none.

    Doubly robust values may be negative, and count so.
    """
    return np.where(own.any(axis=1), np.where(own, success, -np.inf).max(axis=1), rate)


def _follow(
    table: Table,
    prospects: BidPredictions,
    completed: CompletedOutcomes,
    worth: float,
    attempts: int,
    hold: Holding,
    check: CheckErrors,
) -> AttemptOutcomes:
    """The awards at one worth, and what comes of them."""
    if hold == "always":
        return follow_attempts(prospects, completed, table.checked, worth, attempts, check)
    held = prospects.pays(worth)
    found = follow_attempts(prospects.without_auctions(~held), completed, table.checked, worth, attempts, check)
    return AttemptOutcomes(dollars=found.dollars + np.where(held, table.overhead, 0.0), success=found.success)


def worth_of(wanted: SpendShare | MatchBestAgent, curve: SpendCurve) -> float:
    """Return the worth of a solved task, in dollars, that reaches the goal.

    Args:
        wanted: What.
        curve: Of awards in which as many agents may try.

    Raises:
        InputError: The goal cannot be found from records in which no task has bids of several agents.
    """
    if not len(curve.counts):
        if isinstance(wanted, MatchBestAgent) and wanted.beyond > 0.0:
            return wanted.beyond * curve.price
        raise InputError(
            "no task on record has bids of several agents: the worth of a solved task cannot be found from the goal",
            hint="Say it in dollars (`--worth`), or run tasks with several agents first.",
        )
    drawn = _resamples(len(curve.counts))
    auctions = drawn @ curve.counts
    spent = drawn @ curve.dollars.T / auctions[:, None]
    money = (wanted.share if isinstance(wanted, SpendShare) else NEAR) * curve.alone
    room = np.minimum(money, SATED * spent[:, -1])[:, None] - spent
    logs, full = np.log(curve.worths), _last_above(room)
    if isinstance(wanted, SpendShare):
        return math.exp(_at(full, logs).mean())
    last = _last_affordable(full, spent, money)
    matched = math.exp(np.quantile(_at(_last_above(_shortfall(curve, drawn, auctions, last)), logs), SURE))
    return max(matched, wanted.beyond * curve.price)


def _last_affordable(full: Floats, spent: Floats, money: float) -> Floats:
    """(R,) the last of the worths tried that is worth asking for.

    That is the one below the place where the money is spent, except where one step leads from there to where nothing is
    left to buy, is large, and can be paid for: then it is the one after that step. Below it there would be nothing to
    match with.

    Args:
        full: (R,) places where the money is spent or nothing is left to buy, between whole ones.
        spent: (R, W)
        money: That may be spent.
    """
    rows, below = np.arange(len(full)), np.floor(full).astype(np.intp)
    after = np.minimum(below + 1, spent.shape[1] - 1)
    here, there, most = spent[rows, below], spent[rows, after], spent[:, -1]
    leaps = (there <= money) & (there >= SATED * most) & (there - here > LEAP * most)
    return np.where(leaps, after, below).astype(np.float64)


def _at(places: Floats, values: Floats) -> Floats:
    """Values at places between whole ones."""
    return np.interp(places, np.arange(len(values)), values)


def _resamples(tasks: int) -> Floats:
    """(R, G) how often each task is drawn."""
    drawn = np.random.default_rng(SEED).integers(tasks, size=(RESAMPLES, tasks))
    return np.stack([np.bincount(row, minlength=tasks) for row in drawn]).astype(np.float64)


def _shortfall(curve: SpendCurve, drawn: Floats, auctions: Floats, full: Floats) -> Floats:
    """(R, W) tasks that are lacking, at most 0 where a worth does.

    It does where it solves as many as the best agent, by more than a standard error, or else as many as where that
    agent's money is spent, which is the most that is asked for.

    Args:
        curve: The curve.
        drawn: (R, G)
        auctions: (R,) in each resample.
        full: (R,) places of the last worth that is worth asking for.
    """
    rows = np.arange(len(drawn))
    solved = drawn @ curve.success.T
    short = SHORT * float(curve.counts.mean())
    most = solved[rows, full.astype(np.intp)][:, None] - solved - short
    best = (drawn @ curve.agents.T).argmax(axis=1)
    lacking = np.zeros_like(most)
    for agent in np.unique(best):
        own = best == agent
        lead = curve.success - curve.agents[agent]
        lacking[own] = _standard_error(lead, drawn[own], curve.counts, auctions[own]) - drawn[own] @ lead.T
    found = np.minimum(most, lacking)
    found[np.arange(found.shape[1]) > full[:, None]] = -short  # more than that money is never asked for
    return found


def _standard_error(sums: Floats, drawn: Floats, counts: Floats, auctions: Floats) -> Floats:
    """(R, W) of the total over each resample, whole tasks drawn: `intervals.standard_error` times the auctions."""
    mean = drawn @ sums.T / auctions[:, None]
    squares = drawn @ (sums**2).T - 2.0 * mean * (drawn @ (sums * counts).T) + mean**2 * (drawn @ counts**2)[:, None]
    tasks = drawn.shape[1]
    return np.sqrt(np.maximum(squares, 0.0) * tasks / max(1, tasks - 1))


def _last_above(values: Floats) -> Floats:
    """(R,) where each row is above 0 for the last time, between whole places; 0 where it never is."""
    rows, width = np.arange(len(values)), values.shape[1]
    above = values > 0.0
    last = np.where(above.any(axis=1), width - 1 - above[:, ::-1].argmax(axis=1), 0)
    here, after = values[rows, last], values[rows, np.minimum(last + 1, width - 1)]
    part = np.divide(here, here - after, out=np.zeros_like(here), where=(here > 0.0) & (after <= 0.0))
    return last + part


def best_agent_cost(table: Table) -> float:
    """Return the cost of one task, in dollars, if the best agent does everything.

    Which one that is, a few outcomes do not say: every agent's mean cost counts as much as the agent is likely to be
    the best.
    """
    return float(_likely_best(table) @ work_costs(table)[0] / MICRO)


def best_agent_price(table: Table) -> float:
    """Return the cost of one solved task, in dollars, if the best agent, as far as it is known, does everything."""
    return best_agent_cost(table) / float(_likely_best(table) @ _rates(table))


def _rates(table: Table) -> Floats:
    """(A,) share of successes of each agent, as far as it is known."""
    successes, failures = rate_posteriors(table)
    return successes / (successes + failures)


def _likely_best(table: Table) -> Floats:
    """(A,) how likely each agent is to be the best, each rate being known as far as its own outcomes tell."""
    successes, failures = rate_posteriors(table)
    a, b = successes[:, None], failures[:, None]
    at: Floats = (np.arange(GRID) + 0.5) / GRID
    density: Floats = np.exp((a - 1.0) * np.log(at) + (b - 1.0) * np.log1p(-at) - _special.betaln(a, b))
    log_below: Floats = np.log(np.maximum(_special.betainc(a, b, at), np.finfo(np.float64).tiny))
    others: Floats = np.exp(log_below.sum(axis=0) - log_below)
    likely: Floats = (density * others).sum(axis=1)
    return likely / likely.sum()
