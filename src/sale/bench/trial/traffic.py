"""Estimates of what other awards would have made of traffic in which every task went to one agent.

What an agent makes of a task that it never had is not known. Two things are said of it, and kept apart:

* An estimate, doubly robust (Robins, Rotnitzky and Zhao, "Estimation of regression coefficients when some regressors
  are not always observed", Journal of the American Statistical Association 89, 1994): a model of the agent's success by
  the task's embedding, corrected by the outcomes on those tasks that the agent really had, each counted by one over the
  estimated probability that it had a task like it. All models are fitted on other tasks than those they speak of. Its
  mean is right if either model is, and if among tasks with alike texts it was not the harder ones that went to the
  better agents. Nothing in the records can show that.
* Bounds that need no assumption: as if all that is not known failed, and as if it all succeeded.

The market is the one without auctions: weights fitted as `sale fit` fits them on four fifths of the texts, and each
other task awarded by track records of those alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sale.auction import scoring, value_of_information
from sale.bench.online import StandingBidder, WorkHistory, absent_bid
from sale.bench.routers.estimators import folds, logistic_columns, ridge_columns
from sale.bench.routers.protocol import Bools, Floats, Ints
from sale.bench.stats import Interval
from sale.bench.trial.verdict import MIN_TASKS, Kind, Standing, Way
from sale.errors import InputError
from sale.learning.fit import fit_to
from sale.learning.intervals import mean_interval
from sale.learning.prepared_data import prepare_data
from sale.learning.spending import MatchBestAgent, SpendShare, best_agent_cost
from sale.learning.utility import Utility
from sale.memory.track_records import TrackedWork
from sale.types import Example, Price, Weights, Worked
from sale.wording import quantity

FOLDS = 5
SEED = 7
MAX_WORKS = 3000
"""Works that are looked at, the latest ones: fitting takes longer with each."""
MIN_PROPENSITY = 0.05
"""An outcome counts for no more than 1/0.05 others: of kinds an agent hardly ever had, the model decides."""
MIN_KNOWN = 0.1
"""Share of the tasks that must really have been done so, for a way to be recommended."""
MIN_SHARE = 0.01
SHARES = (1.0, 0.75, 0.5)
"""Shares of what was paid that the market is told to spend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One task of the traffic, as it was done."""

    task: str
    agent: str
    success: bool
    dollars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficWay:
    """One way in which the tasks could have been done."""

    way: Way
    """Its estimates; differences and shares are against what was done."""
    known: float
    """Share of the tasks that were really done so."""
    bounds: tuple[float, float]
    """Share solved, if all that is not known failed, and if it all succeeded."""
    spend: float | None = None
    """Of a market: what it may spend, as a share of what the best agent alone would cost; `None`: as little as solves
    as many tasks as that one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficReport:
    """All that the screen shows."""

    tasks: int
    margin: float
    before: Way
    """The work as it was done."""
    ways: tuple[TrafficWay, ...]
    recommended: TrafficWay | None
    """The cheapest that is as good as what was done, and cheaper; `None`: none is shown to be."""
    notes: tuple[str, ...]


def judge_traffic(
    served: Sequence[Served],
    vectors: Mapping[str, Floats],
    agents: tuple[str, ...],
    prices: tuple[float, ...],
    margin: float,
) -> TrafficReport:
    """Return what each agent alone and the market would have made of the traffic.

    Args:
        served: The tasks, the oldest first.
        vectors: Of each task's text, of length one.
        agents: Those compared, from the cheapest price on; everything was done by one of them.
        prices: Dollars per million tokens, of each.
        margin: As good means: worse on no more than this share of the tasks.

    Raises:
        InputError: There are too few different texts to divide.
    """
    notes: list[str] = []
    if len(served) > MAX_WORKS:
        notes.append(f"Of {quantity(len(served), 'work')} the latest {MAX_WORKS:,} are looked at.")
    traffic = _Traffic.of(served[-MAX_WORKS:], vectors, agents, prices)
    if traffic.texts < FOLDS:
        raise InputError(
            f"traffic of {quantity(traffic.texts, 'different task')} tells nothing", hint="Import more of it."
        )
    guess = _guess(traffic)
    rows = np.arange(len(traffic.tasks))
    policies = [_Policy(agent, "agent", np.full(len(rows), place, np.intp)) for place, agent in enumerate(agents)]
    markets = _markets(traffic)
    policies += markets
    if not markets:
        notes.append(f"A market is fitted from {MIN_TASKS} tasks on; outcomes of every agent are needed, too.")
    before = _way(traffic, "as it was", "agent", traffic.success, traffic.dollars, margin)
    ways = tuple(_estimated(traffic, guess, policy, margin) for policy in policies)
    good = [
        one
        for one in ways
        if one.way.standing == "as good" and one.known >= MIN_KNOWN and one.way.dollars.value < before.dollars.value
    ]
    return TrafficReport(
        tasks=len(rows),
        margin=margin,
        before=before,
        ways=ways,
        recommended=min(good, key=lambda one: one.way.dollars.value, default=None),
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Traffic:
    """The tasks as arrays."""

    tasks: tuple[str, ...]
    agents: tuple[str, ...]
    prices: tuple[float, ...]
    group: Ints
    """(T,) tasks of one text share a number."""
    vectors: Floats
    """(T, D)."""
    served: Ints
    """(T,) who did it."""
    success: Floats
    """(T,) of who did it."""
    dollars: Floats
    """(T,) likewise."""

    @classmethod
    def of(
        cls, served: Sequence[Served], vectors: Mapping[str, Floats], agents: tuple[str, ...], prices: tuple[float, ...]
    ) -> _Traffic:
        # In the order of their vectors, which stay the same where texts were left out: folds are drawn by number.
        texts = sorted({one.task for one in served}, key=lambda text: (vectors[text].tobytes(), text))
        numbers = {task: number for number, task in enumerate(texts)}
        places = {agent: place for place, agent in enumerate(agents)}
        return cls(
            tasks=tuple(one.task for one in served),
            agents=agents,
            prices=prices,
            group=np.array([numbers[one.task] for one in served], np.intp),
            vectors=np.stack([vectors[one.task] for one in served]),
            served=np.array([places[one.agent] for one in served], np.intp),
            success=np.array([float(one.success) for one in served]),
            dollars=np.array([one.dollars for one in served]),
        )

    @property
    def texts(self) -> int:
        """The number of different texts."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    def divided(self) -> list[tuple[Bools, Bools]]:
        """Training and held-out tasks of each fold; one text is never in both."""
        return [
            (np.isin(self.group, train), np.isin(self.group, held)) for train, held in folds(self.texts, FOLDS, SEED)
        ]


@dataclass(frozen=True, slots=True)
class _Guess:
    """(T, A) each: what models that have not seen the task's text say of every agent on it."""

    success: Floats
    dollars: Floats
    propensity: Floats
    """That the agent was given a task like it."""


def _guess(traffic: _Traffic) -> _Guess:
    shape = (len(traffic.tasks), len(traffic.agents))
    success, dollars, propensity = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    had = np.eye(shape[1])[traffic.served]
    for train, held in traffic.divided():
        asked = traffic.vectors[held]
        propensity[held] = logistic_columns(traffic.vectors[train], had[train])(asked)
        for agent in range(shape[1]):
            own = train & (traffic.served == agent)
            if not own.any():  # all its tasks are held out here: those are all there is to go by
                own = traffic.served == agent
            success[held, agent] = logistic_columns(traffic.vectors[own], traffic.success[own, None])(asked)[:, 0]
            dollars[held, agent] = ridge_columns(traffic.vectors[own], traffic.dollars[own, None])(asked)[:, 0]
    return _Guess(success, np.maximum(dollars, 0.0), propensity)


@dataclass(frozen=True, slots=True)
class _Policy:
    """A rule of award, and the agent that would have had each task by it."""

    name: str
    kind: Kind
    chosen: Ints
    """(T,)"""
    spend: float | None = None


def _markets(traffic: _Traffic) -> list[_Policy]:
    """The market's choices under three ways to say what it may spend; none where there is too little to fit weights."""
    try:
        paid = _share_paid(traffic)
        fitted = [
            (history, prepare_data(examples), np.flatnonzero(held))
            for train, held in traffic.divided()
            for history, examples in (_lessons(traffic, np.flatnonzero(train)),)
        ]
    except InputError:
        return []
    wanted: dict[str, float | None] = {"market, as the best agent": None}
    wanted |= {f"market, spending {share:.0%}": max(MIN_SHARE, round(share * paid, 2)) for share in SHARES}
    found: list[_Policy] = []
    for name, spend in wanted.items():
        chosen = np.zeros(len(traffic.tasks), np.intp)
        for history, ready, held in fitted:
            worth = MatchBestAgent(1) if spend is None else SpendShare(spend)
            weights = fit_to(ready, Utility(), worth=worth).weights
            for row in held:
                chosen[row] = _award(traffic, history, int(row), weights)
        found.append(_Policy(name, "market", chosen, spend))
    return found


def _share_paid(traffic: _Traffic) -> float:
    """Return what was paid, as a share of what the best agent alone would cost.

    Raises:
        InputError: There are too few tasks to say.
    """
    _, examples = _lessons(traffic, np.arange(len(traffic.tasks)))
    best = best_agent_cost(prepare_data(examples).table)
    return float(traffic.dollars.mean()) / best if best > 0.0 else 1.0


def _lessons(traffic: _Traffic, train: Ints) -> tuple[WorkHistory, list[Example]]:
    """Return the history of the training tasks, and each of them as learning sees it.

    Its track records are those of the other training tasks, without any of its own text.
    """
    history = WorkHistory(traffic.vectors)
    done = {int(row): _tracked(traffic, int(row)) for row in train}
    for row, work in done.items():
        history.put(row, row, [work])
    same: dict[int, list[int]] = {}
    for row in done:
        same.setdefault(int(traffic.group[row]), []).append(row)
    examples: list[Example] = []
    for rows in same.values():
        for row in rows:
            history.put(row, row, [replace(done[row], verdict=None)])
        for row in rows:
            tracks = history.of(row, traffic.agents)
            bids = [
                replace(absent_bid(agent, price), track=tracks[agent])
                for agent, price in zip(traffic.agents, traffic.prices, strict=True)
            ]
            agent = done[row].agent
            work = {agent: Worked(success=done[row].verdict == "success", dollars=float(traffic.dollars[row]))}
            examples.append(
                Example(auction_id=str(row), task=traffic.tasks[row], bids=tuple(bids), winner=agent, work=work)
            )
        for row in rows:
            history.put(row, row, [done[row]])
    return history, examples


def _tracked(traffic: _Traffic, row: int) -> TrackedWork:
    verdict = "success" if traffic.success[row] else "failure"
    place = int(traffic.served[row])
    return TrackedWork(agent=traffic.agents[place], verdict=verdict, dollars=float(traffic.dollars[row]))


def _award(traffic: _Traffic, history: WorkHistory, row: int, weights: Weights) -> int:
    bidders = [
        StandingBidder(agent, Price(input=price, output=price, blended=price))
        for agent, price in zip(traffic.agents, traffic.prices, strict=True)
    ]
    bids = value_of_information.standing_bids(bidders, history.of(row, traffic.agents), weights)
    return traffic.agents.index(scoring.provisional_winner(bids).agent)


def _estimated(traffic: _Traffic, guess: _Guess, policy: _Policy, margin: float) -> TrafficWay:
    chosen = policy.chosen
    rows = np.arange(len(chosen))
    same = chosen == traffic.served
    weight = np.where(same, 1.0 / np.maximum(guess.propensity[rows, chosen], MIN_PROPENSITY), 0.0)
    likely, cost = guess.success[rows, chosen], guess.dollars[rows, chosen]
    success = likely + weight * (traffic.success - likely)
    dollars = cost + weight * (traffic.dollars - cost)
    done = np.where(same, traffic.success, 0.0)
    return TrafficWay(
        way=_way(traffic, policy.name, policy.kind, success, dollars, margin),
        known=float(same.mean()),
        bounds=(float(done.mean()), float((done + ~same).mean())),
        spend=policy.spend,
    )


def _way(traffic: _Traffic, name: str, kind: Kind, success: Floats, dollars: Floats, margin: float) -> Way:
    _, low, high = mean_interval(success - traffic.success, traffic.group)
    real = success is traffic.success
    standing: Standing = "as good" if low > -margin or real else "worse" if high < 0.0 else "not clear"
    spent = _interval(traffic, dollars, 0.0, np.inf)
    paid = float(traffic.dollars.mean())
    return Way(
        name=name,
        kind=kind,
        success=_interval(traffic, success, 0.0, 1.0),
        dollars=spent,
        share=spent.value / paid if paid > 0 else 1.0,
        difference=(low, high),
        standing=standing,
        more_tasks=None,
        hold="never" if kind == "market" else None,
    )


def _interval(traffic: _Traffic, values: Floats, least: float, most: float) -> Interval:
    """The mean with its interval, held to what is possible: a doubly robust mean may lie outside."""
    found = mean_interval(values, traffic.group)
    value, low, high = (float(np.clip(one, least, most)) for one in found)
    bounded = np.isfinite(found[1]) and np.isfinite(found[2])
    return Interval(
        value=value,
        low=low if bounded else None,
        high=high if bounded else None,
        tasks=traffic.texts,
        how="t",
    )
