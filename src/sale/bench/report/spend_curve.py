"""Where on its curve of success against cost the market stands, by the share of the money it was told to spend."""

from __future__ import annotations

from collections.abc import Mapping

from sale.bench.metrics import DecisionOutcomes, best_single, compare_success, saving, summary
from sale.bench.report.comparison import DomainComparison
from sale.bench.report.fitted import FittedMarket, TrainedWeights, fitted_markets
from sale.bench.report.report_table import ReportTable, micro, percent
from sale.bench.report.tables import RESAMPLING
from sale.learning.utility import Utility

SHARES = (None, 0.25, 0.4, 0.5, 0.75, 1.0)
MULTIPLES = (1.0, 2.0, 3.0, 4.0, 8.0)
"""The most a solved task more may cost beyond a match, in multiples of what the best agent alone pays for one."""


def spend_table(field: DomainComparison, lessons: TrainedWeights, key: str, title: str) -> ReportTable:
    """The fitted market, next best bid included, at several shares; single agents beside it."""
    best = best_single(field.direct)
    singles = {agent: field.find(agent).settled for agent in field.direct.agents}
    alone = singles[field.direct.agents[best]]
    rows: list[tuple[str, ...]] = []

    def add(name: str, settled: DecisionOutcomes, above: str = "–") -> None:
        found = summary(settled, RESAMPLING)
        gained = compare_success(settled, alone, RESAMPLING).difference
        saved = saving(settled, field.direct, best, RESAMPLING)
        shown = percent(found.pass_at_1), micro(found.dollars_per_task), percent(gained), percent(saved, 0)
        rows.append((name, *shown, above))

    for agent, settled in singles.items():
        add(agent, settled)
    attempts = len(field.direct.agents)
    done = {one.name: one.settled for one in field.contenders}
    compared = {
        (way.attempts, way.share): done.get(way.name)
        for way in fitted_markets(attempts)
        if isinstance(way.objective, Utility)
    }
    for share in SHARES:
        market = FittedMarket(name="SALE fitted", attempts=attempts, share=share, beyond=0.0)
        settled = compared.get((attempts, share)) or market.decide(field.recorded, field.train, field.direct, lessons)
        if settled is not None:
            told = "match" if share is None else format(share, "g")
            add(f"SALE fitted, next best bid, spend {told}", settled, above_single(settled, singles))
    for beyond in MULTIPLES:
        market = FittedMarket(name="SALE fitted", attempts=attempts, beyond=beyond)
        settled = market.decide(field.recorded, field.train, field.direct, lessons)
        if settled is not None:
            add(f"SALE fitted, next best bid, beyond {beyond:g}", settled, above_single(settled, singles))
    return ReportTable(
        key=key,
        title=title,
        head=(
            "",
            "pass@1, %",
            "$/task, millionths",
            "pass@1 gained, points",
            "saved, %",
            "above one agent for no more money",
        ),
        rows=tuple(rows),
        note=(
            f"Gained and saved against {field.direct.agents[best]}, the best single agent; 95 % intervals over tasks, "
            "paired. Spend, by the training tasks (`sale fit --spend`): as little as solves as many as the best "
            "agent alone (match), or a share of what that one would cost. The last column: points above that single "
            "agent which solves most among those that cost no more, with McNemar's exact p, not corrected; where the "
            "market costs a little less than the best agent, that is a much cheaper one."
        ),
    )


def above_single(settled: DecisionOutcomes, singles: Mapping[str, DecisionOutcomes]) -> str:
    """The lead over the best of the single agents that cost no more, by what they really cost and solved."""
    money = settled.dollars.mean()
    able = [name for name, single in singles.items() if single.dollars.mean() <= money]
    if not able:
        return "–"
    best = max(able, key=lambda name: singles[name].success.mean())
    found = compare_success(settled, singles[best], RESAMPLING)
    return f"{best}: {percent(found.difference)}, p {found.p if found.mcnemar is None else found.mcnemar:.3f}"
