"""A trial over past work: what single agents and a market without auctions would have done with it. Nothing is called.

Two kinds of past work, told apart by whether most tasks were done by every agent. An *evaluation* (Inspect, Harbor, a
`trial.jsonl`) says what each agent does with each task: the findings are those of a trial (`verdict`). *Traffic* went
to one agent each time: what another would have made of it is estimated (`traffic`).

The market chooses among agents of `sale.toml` that are in the records; where there are fewer than two of these, among
all agents in the records. Texts are only ever looked at through their embeddings, so work without texts will do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import fmean

import numpy as np

from sale.bench.online import Embed
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedExecution, RecordedTasks, unpaid_auction
from sale.bench.routers.protocol import Floats
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.bench.trial.tasks import draw_order
from sale.bench.trial.traffic import Served, TrafficReport, judge_traffic
from sale.bench.trial.verdict import TrialReport, judge_trial
from sale.errors import InputError
from sale.memory.importers.into_memory import observed_prices, with_prices
from sale.memory.importers.past_work import PastWork
from sale.types import Price
from sale.wording import quantity

CROSSED = 0.5
"""Share of the tasks that every agent must have done for past work to count as an evaluation."""
MIN_OUTCOMES = 5
"""Judged works that an agent must have to be compared by traffic."""
_UNDATED = datetime.min.replace(tzinfo=UTC)
_UNTIMED = HumanTime(provenance="not timed")


@dataclass(frozen=True, kw_only=True, slots=True)
class PastReport:
    """The findings."""

    works: int
    """On record, judged or not."""
    since: datetime | None
    """When the first began; `None` where no time is known."""
    until: datetime | None
    evaluation: TrialReport | None
    """Where every agent did most tasks."""
    traffic: TrafficReport | None
    """Where most tasks went to one agent."""
    in_pool: bool
    """True where the agents compared are those of sale.toml."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PastComparison:
    """The pool and the terms by which past work is judged."""

    prices: Mapping[str, Price]
    """Of the pool's agents, where they are known."""
    pool: Collection[str]
    """Names of the agents of sale.toml."""
    margin: float
    """As good means: worse on no more than this share of the tasks."""
    attempts: int = 2
    """Agents that may try a task, in the market with attempts."""


def judge_past(works: Sequence[PastWork], vectors: Mapping[str, Floats], how: PastComparison) -> PastReport:
    """Return what agents and a market would have done with past work.

    Args:
        works: Those of a known time are taken in its order, the others as the oldest, in the order given.
        vectors: Of each task's text, of length one.
        how: The pool and the margin.

    Raises:
        InputError: Too little is known: no outcome, no success, or not two agents with outcomes and costs.
    """
    notes: list[str] = []
    works = sorted(works, key=lambda work: work.at or _UNDATED)
    judged = _judged(with_prices(works, how.prices), notes)
    crossed = _crossed(judged, _able(judged, how.pool, 1))
    agents = _agents(judged, how.pool, 1 if crossed else MIN_OUTCOMES, notes)
    judged = _costed([work for work in judged if work.agent in agents], notes)
    prices = observed_prices(judged, how.prices)
    # Prices are compared with each other, so all are of one kind: of tokens, or where one is not known of a task.
    by_name = {name: prices[name] if agents <= set(prices) else _mean_dollars(judged, name) for name in agents}
    order = tuple(sorted(agents, key=lambda name: (by_name[name], name)))
    rates = tuple(by_name[name] for name in order)
    evaluation, traffic = None, None
    if crossed:
        # Intervals that hold at every look need an order that is drawn. Sorted by vectors, which stay the same where
        # texts were left out, it is the same every time.
        whole = sorted(_whole(judged, agents), key=lambda text: (vectors[text].tobytes(), text))
        recorded = _recorded(judged, draw_order(whole), order, rates)
        evaluation = judge_trial(recorded, _embed_of(vectors), how.margin, how.attempts)
    else:
        served = [
            Served(task=work.task, agent=work.agent, success=work.verdict == "success", dollars=work.dollars or 0.0)
            for work in judged
        ]
        traffic = judge_traffic(served, vectors, order, rates, how.margin)
    times = [work.at for work in works if work.at is not None]
    return PastReport(
        works=len(works),
        since=min(times, default=None),
        until=max(times, default=None),
        evaluation=evaluation,
        traffic=traffic,
        in_pool=agents <= set(how.pool),
        notes=tuple(notes),
    )


def _judged(works: Sequence[PastWork], notes: list[str]) -> list[PastWork]:
    found = [work for work in works if work.verdict != "unknown"]
    if not any(work.verdict == "success" for work in found):
        raise InputError(
            "no work is known to have succeeded, so success cannot be compared"
            if works
            else "there is no past work to look at",
            hint="Import work with outcomes: scores, feedback, or a table with a column `success` (docs/past-work.md)."
            if works
            else "`sale import FILE` adds some; --since may leave out what there is.",
        )
    if len(found) < len(works):
        notes.append(f"{len(works) - len(found):,} of {quantity(len(works), 'work')} left out: no outcome is known.")
    return found


def _able(works: Sequence[PastWork], pool: Collection[str], least: int) -> frozenset[str]:
    """Agents with so many outcomes and a known cost: those of the pool, or all where these are fewer than two."""
    counts = Counter(work.agent for work in works)
    costed = {work.agent for work in works if work.dollars is not None}
    able = {agent for agent, count in counts.items() if count >= least and agent in costed}
    own = able & set(pool)
    return frozenset(own if len(own) >= 2 else able)


def _agents(works: Sequence[PastWork], pool: Collection[str], least: int, notes: list[str]) -> frozenset[str]:
    chosen = _able(works, pool, least)
    counts = Counter(work.agent for work in works)
    costed = {work.agent for work in works if work.dollars is not None}
    if len(chosen) < 2:
        said = ", ".join(
            f"{agent} ({quantity(count, 'outcome')}, {'cost known' if agent in costed else 'no cost known'})"
            for agent, count in sorted(counts.items())
        )
        raise InputError(
            f"it takes two agents with {quantity(least, 'outcome')} each and known costs; there are: {said}",
            hint="Costs are made from tokens where an agent of sale.toml has a price; --as NAME=AGENT says who is who.",
        )
    for name in sorted(set(counts) - chosen):
        why = "no cost of it is known" if name not in costed else "not in sale.toml"
        why = f"it has only {quantity(counts[name], 'outcome')}" if counts[name] < least else why
        notes.append(f"{name} is left out: {why}.")
    if not chosen <= set(pool):
        notes.append("Fewer than two of these agents are in sale.toml, so all on record are compared.")
    return chosen


def _crossed(works: Sequence[PastWork], agents: Collection[str]) -> bool:
    """Return True where most tasks were done by every one of the agents."""
    own = [work for work in works if work.agent in agents]
    return len(agents) > 1 and len(_whole(own, agents)) >= CROSSED * len({work.task for work in own})


def _costed(works: Sequence[PastWork], notes: list[str]) -> list[PastWork]:
    means = {agent: _mean_dollars(works, agent) for agent in {work.agent for work in works}}
    unknown = sum(work.dollars is None for work in works)
    if unknown:
        what = f"The cost of {quantity(unknown, 'work')} is not known"
        notes.append(f"{what}: the mean of its agent's others stands in.")
    return [work if work.dollars is not None else replace(work, dollars=means[work.agent]) for work in works]


def _mean_dollars(works: Sequence[PastWork], agent: str) -> float:
    return fmean(work.dollars for work in works if work.agent == agent and work.dollars is not None)


def _whole(works: Sequence[PastWork], agents: Collection[str]) -> frozenset[str]:
    """Tasks that every agent did."""
    done: dict[str, set[str]] = defaultdict(set)
    for work in works:
        done[work.task].add(work.agent)
    return frozenset(task for task, by in done.items() if len(by) == len(agents))


def _recorded(
    works: Sequence[PastWork], tasks: Sequence[str], agents: tuple[str, ...], prices: tuple[float, ...]
) -> RecordedTasks:
    """An evaluation as the record of a trial in which no auction was held. Of an agent's works the latest counts."""
    found = RecordedTasks(agents=agents, prices=prices, tasks=[_bench_task(text) for text in tasks])
    chosen = set(tasks)
    for work in works:
        if work.task in chosen:
            found.works[work.task, work.agent, ""] = RecordedExecution(
                agent=work.agent,
                success=work.verdict == "success",
                judged=True,
                dollars=work.dollars or 0.0,
                tokens=work.tokens or 0,
                seconds=work.seconds,
                answer=f"of {work.agent}",  # answers may have been left out; no two of a task may be taken for one
                error=work.error,
            )
    found.auctions = {(FIRST_BIDS, text): unpaid_auction(text) for text in tasks}
    return found


def _bench_task(text: str) -> BenchTask:
    return BenchTask(
        id=text,
        domain="search",
        source="past work",
        split="test",
        kind="judged",
        prompt=text,
        time=_UNTIMED,
        licence="own",
    )


def _embed_of(vectors: Mapping[str, Floats]) -> Embed:
    return lambda texts: np.stack([vectors[text] for text in texts])
