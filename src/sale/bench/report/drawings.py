"""The figures of a report, from the same values as its tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from sale.bench.figures import (
    escalation_map,
    shapley_bars,
    success_by_bin,
    win_share_lines,
    workload_bars,
)
from sale.bench.market_router import coalition_success, in_order
from sale.bench.metrics import escalation, split, summary, win_share, workload
from sale.bench.pareto import ParetoPoint, pareto_plot
from sale.bench.report.comparison import Contender, DomainComparison
from sale.bench.report.tables import RESAMPLING
from sale.bench.shapley import ceiling, shapley_intervals
from sale.bench.stats import rate

MARKET = "SALE without memory"


def drawings(field: DomainComparison, domain: str) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file."""
    name = "SALE" if field.orders else MARKET
    market = field.find(name).settled
    labels = {task.id: task.time.label.replace(" (", "\n(") for task in field.recorded.tasks}
    yield f"{domain}-pareto", pareto(field)
    yield f"{domain}-workload", workload_bars(workload(market, RESAMPLING, labels))
    yield (
        f"{domain}-bins",
        success_by_bin(
            {
                one.name: {
                    label: rate(part.success, RESAMPLING, clusters=part.ids)
                    for label, part in split(one.settled, labels).items()
                }
                for one in field.contenders
                if one.name in {*field.direct.agents, name, "oracle"}
            },
            ours=name,
        ),
    )
    yield f"{domain}-escalation", escalation_map(escalation(market, field.direct, RESAMPLING))
    yield (
        f"{domain}-shapley",
        shapley_bars(
            field.direct.agents,
            {
                "perfect choice": shapley_intervals(ceiling(field.direct.success), RESAMPLING),
                MARKET: shapley_intervals(coalition_success(field.recorded), RESAMPLING),
            },
        ),
    )
    if field.orders:
        agents = field.direct.agents
        runs = [
            win_share(
                np.array([agents.index(work.agent) for _, work in in_order(field.recorded, order) if work]), len(agents)
            )
            for order in field.recorded.orders
        ]
        if len({len(run) for run in runs}) == 1:
            yield f"{domain}-wins", win_share_lines(runs, agents)


def pareto(field: DomainComparison) -> Figure:
    """Success against cost, of every contender."""
    return pareto_plot([_point(one, field) for one in field.contenders])


def _point(one: Contender, field: DomainComparison) -> ParetoPoint:
    found = summary(one.settled, RESAMPLING)
    kind = "oracle" if one.name == "oracle" else "ours" if one.name.startswith("SALE") else "router"
    return ParetoPoint(
        name=one.name.removeprefix("SALE fitted, ").removeprefix("SALE "),  # the colour says whose it is
        cost=found.dollars_per_task,
        success=found.pass_at_1,
        kind="agent" if one.name in field.direct.agents else kind,
    )
