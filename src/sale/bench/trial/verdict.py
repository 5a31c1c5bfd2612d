"""Findings of a trial's record: each agent alone, the market in four ways, which of them is as good, and at what cost.

Two kinds of intervals, never mixed. Whether a single agent is as good as another is said by confidence sequences
(`sequential`), which hold though the trial looks after every task and stops when it likes: the errors of all pairs
together are at most `ALPHA`. What a market does is learnt on the tasks themselves, so it is held out: every fifth of
the tasks is decided by weights fitted on the others, and the intervals are those of a bootstrap over the tasks. Where
the trial stopped early they are a little too narrow, which is why they never decide when it stops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sale.bench.market_router import ablations, default_weights
from sale.bench.metrics import DecisionOutcomes, settle
from sale.bench.online import Embed
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedTasks
from sale.bench.report.fitted import FittedMarket, TrainedWeights
from sale.bench.routers.fixed import SingleAgent
from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.bench.stats import Interval, Resampling, bootstrap, compare_paired, over_last, rate
from sale.bench.trial.sequential import difference_between
from sale.wording import quantity

ALPHA = 0.05
MIN_TASKS = 25
"""Tasks from which a market can be fitted without a fifth of them: a trial does not stop before, if it has as many."""
RESAMPLING = Resampling(seed=0, resamples=4000)
QUANTILE = 1.96
MAX_FORESEEN = 4000
"""Tasks beyond which nothing is foreseen: there the sequence takes seconds to compute, and a trial days."""

Kind = Literal["agent", "market"]
Standing = Literal["as good", "worse", "not clear"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to have the tasks done."""

    name: str
    kind: Kind
    success: Interval
    dollars: Interval
    """A task, everything included."""
    share: float
    """Of what the best single agent costs."""
    difference: tuple[float, float]
    """In success, to the best single agent: 95 % interval."""
    standing: Standing
    """Against the best single agent, within the margin."""
    more_tasks: int | None
    """Number of further tasks that would tell, roughly; `None` where it is clear."""
    attempts: int = 1
    hold: Literal["always", "worthwhile", "never"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialReport:
    """All that the screen shows."""

    tasks: int
    margin: float
    ways: tuple[Way, ...]
    best: str
    """The best single agent."""
    cheapest: str | None
    """The cheapest single agent that is as good; `None` where it is not clear that any other is."""
    recommended: Way
    notes: tuple[str, ...]


def agents_clear(success: Floats, dollars: Floats, margin: float) -> int | None:
    """The cheapest agent that is as good as all that cost more, where it is clear that all that cost less are worse.

    Args:
        success: (T, A): in the order in which tasks were done.
        dollars: (T, A).
        margin: As good means: by no more than this share of the tasks worse.

    Returns:
        Its column; `None` while it is not clear.
    """
    count = success.shape[1]
    if len(success) == 0 or count < 2:
        return 0 if count == 1 else None
    order = np.argsort(dollars.mean(axis=0), kind="stable")
    alpha = ALPHA / (count * (count - 1) / 2)
    for place, agent in enumerate(order):
        between = {
            int(other): difference_between(success[:, agent].tolist(), success[:, other].tolist(), alpha)
            for other in order
            if other != agent
        }
        cheaper, dearer = order[:place], order[place + 1 :]
        good = all(between[int(other)][0] > -margin for other in dearer)
        needed = all(between[int(other)][0] > 0.0 for other in cheaper)
        if good and needed:
            return int(agent)
    return None


def judge_trial(recorded: RecordedTasks, embed: Embed, margin: float, attempts: int) -> TrialReport:
    """Return the findings of the record.

    Args:
        recorded: Its whole tasks, in the order that was drawn for them.
        embed: Of task texts, as the market's memory sees them.
        margin: As in `agents_clear`.
        attempts: How many agents may try a task, in the market with attempts.
    """
    direct = recorded.table(planned=False)
    alone = {agent: settle((direct, SingleAgent(agent).route(direct))) for agent in direct.agents}
    best = max(direct.agents, key=lambda agent: (alone[agent].success.mean(), -alone[agent].dollars.mean()))
    alpha = ALPHA / max(1, len(direct.agents) * (len(direct.agents) - 1) / 2)
    found = [
        _way(agent, "agent", settled, alone[best], margin, alpha=None if agent == best else alpha)
        for agent, settled in alone.items()
    ]
    notes: list[str] = []
    planned = any(row.bids for row in recorded.auctions.values())
    markets = _markets(recorded, direct, embed, attempts, planned=planned)
    if not any(settled.hold != "always" for settled in markets):
        shown = ": here it is shown as it starts, before it has learnt." if planned else ", and there are fewer."
        notes.append(f"A market is fitted from {MIN_TASKS} tasks on{shown}")
    if not planned:
        notes.append("No plans are on record, so nothing is known of auctions: a trial with agents at work holds some.")
    for one in markets:
        way = _way(one.name, "market", one.settled, alone[best], margin)
        found.append(replace(way, attempts=one.attempts, hold=one.hold))
    good = [way for way in found if way.standing == "as good" or way.name == best]
    recommended = min(good, key=lambda way: way.dollars.value)
    agents = [way for way in good if way.kind == "agent"]
    cheapest = min(agents, key=lambda way: way.dollars.value).name
    return TrialReport(
        tasks=len(direct),
        margin=margin,
        ways=tuple(found),
        best=best,
        cheapest=cheapest if cheapest != best else None,
        recommended=recommended,
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _MarketRow:
    """One way to run the market, and what it came to."""

    name: str
    settled: DecisionOutcomes
    hold: Literal["always", "worthwhile", "never"]
    attempts: int = 1


# With attempts it spends as much as the best agent costs, where that solves more. `Match`, as little as solves as many,
# may stop below the one step of a curve on which the second attempt lies.
def _markets(
    recorded: RecordedTasks, direct: OutcomeTable, embed: Embed, attempts: int, *, planned: bool
) -> list[_MarketRow]:
    found: list[_MarketRow] = []

    def fitted(name: str, record: RecordedTasks, market: FittedMarket, hold: Literal["worthwhile", "never"]) -> None:
        # What is fitted hangs on bids and verdicts: no view of the record shares it with another.
        settled = market.decide(record, None, direct, TrainedWeights(embed=embed))
        if settled is not None:
            found.append(_MarketRow(name=name, settled=settled, hold=hold, attempts=market.attempts))

    if planned:
        start = ablations(recorded, default_weights(recorded))[0].route(direct)
        found.append(_MarketRow(name="market, before it learns", settled=settle((direct, start)), hold="always"))
    fitted("market, no auctions", without_bids(recorded), FittedMarket(name="no auctions"), "never")
    if planned:
        fitted("market, auctions where they pay", recorded, FittedMarket(name="auctions"), "worthwhile")
    often = FittedMarket(name="attempts", attempts=attempts, share=1.0)
    fitted(f"market, {quantity(attempts, 'attempt')}", with_verdicts(recorded), often, "worthwhile")
    return found


def without_bids(recorded: RecordedTasks) -> RecordedTasks:
    """Return the same record as if no auction had been held: without bids, and without their cost."""
    return replace(
        recorded, auctions={at: _silent(row) for at, row in recorded.auctions.items() if at[0] == FIRST_BIDS}
    )


def _silent(row: AuctionRow) -> AuctionRow:
    return replace(row, bids=(), refined=(), dollars=0.0, first_dollars=0.0, tokens=0, first_tokens=0, paid={})


def with_verdicts(recorded: RecordedTasks) -> RecordedTasks:
    """The same record where failed work is found out before it is handed in, by the check of the task itself."""
    verdicts = {
        (task, work.answer): ("success" if work.success else "failure")
        for (task, _, _), work in recorded.works.items()
        if work.judged
    }
    return replace(recorded, checks=verdicts)


def _way(
    name: str,
    kind: Kind,
    settled: DecisionOutcomes,
    best: DecisionOutcomes,
    margin: float,
    *,
    alpha: float | None = None,
) -> Way:
    differences = settled.success - best.success
    if alpha is not None:
        low, high = difference_between(settled.success.tolist(), best.success.tolist(), alpha)
    elif settled is best:
        low = high = 0.0
    else:
        between = compare_paired(settled.success, best.success, RESAMPLING).difference
        low, high = _honest(between, differences)
    standing: Standing = "as good" if low > -margin or settled is best else "worse" if high < 0.0 else "not clear"
    spent = np.column_stack([settled.dollars, np.ones(len(settled))])
    dollars = bootstrap(spent, over_last, RESAMPLING)[0]
    if dollars is None:
        raise ValueError("dollars of tasks are finite")
    paid = float(best.dollars.mean())
    return Way(
        name=name,
        kind=kind,
        success=rate(settled.success, RESAMPLING),
        dollars=dollars,
        share=dollars.value / paid if paid > 0 else 1.0,
        difference=(low, high),
        standing=standing,
        more_tasks=_further(settled.success, best.success, margin, alpha) if standing == "not clear" else None,
    )


def _honest(found: Interval, differences: Floats) -> tuple[float, float]:
    """The bootstrap's interval; where no task tells the two apart it has no width, and the rule of three stands in."""
    least = 3.0 / len(differences)
    low, high = (found.low, found.high) if found.low is not None and found.high is not None else (-1.0, 1.0)
    mean = float(differences.mean())
    return (max(-1.0, min(low, mean - least)), min(1.0, max(high, mean + least))) if low == high else (low, high)


def _further(ours: Floats, theirs: Floats, margin: float, alpha: float | None) -> int | None:
    """Return about how many further tasks would tell, by the interval that decides; `None` where it is too many to say.

    Args:
        ours: (T,) success.
        theirs: (T,) that of the best agent.
        margin: As for the verdict.
        alpha: Of a confidence sequence; `None`: a plain interval.
    """
    if alpha is None:
        return _more(ours - theirs, margin)
    count = len(ours)

    def tells(total: int) -> bool:
        """Return whether so many tasks tell, if the next ones come out as these did, again and again."""
        low, high = difference_between(np.resize(ours, total).tolist(), np.resize(theirs, total).tolist(), alpha)
        return low > -margin or high < 0.0

    enough = count + 1
    while not tells(enough):
        enough *= 2
        if enough > MAX_FORESEEN:
            return None
    short = max(count, enough // 2)
    while enough - short > max(1, count // 10):
        middle = (short + enough) // 2
        short, enough = (short, middle) if tells(middle) else (middle, enough)
    return enough - count


def _more(differences: Floats, margin: float) -> int | None:
    """Return the number of further tasks until a plain interval leaves the margin, if things go on as they did."""
    count, mean = len(differences), float(differences.mean())
    distance = max(abs(mean + margin), margin / 4.0)
    spread = max(float(differences.std()), math.sqrt(1.0 / (count + 1)))
    return max(1, math.ceil((QUANTILE * spread / distance) ** 2) - count)
