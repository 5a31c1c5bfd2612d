"""Does the market beat its best agent? The table that the claim stands or falls with."""

from __future__ import annotations

import numpy as np

from sale.bench.metrics import DecisionOutcomes, best_single, compare_success, gap_closed, saving
from sale.bench.report.comparison import Contender, DomainComparison
from sale.bench.report.report_table import ReportTable, percent
from sale.bench.report.tables import RESAMPLING
from sale.bench.stats import rate


def claim_table(field: DomainComparison, key: str, title: str) -> ReportTable:
    """Every form of the market against the best single agent, task by task, and against every baseline.

    "Better on both" are baselines that solve no fewer tasks for no more money, and differ in one of the two.
    """
    best = best_single(field.direct)
    agents = field.direct.agents
    alone = field.find(agents[best])
    rivals = [one for one in field.contenders if one.baseline and not _ours(one)]
    rows: list[tuple[str, ...]] = []
    for one in field.contenders:
        if not _ours(one):
            continue
        gained = compare_success(one.settled, alone.settled, RESAMPLING).difference
        saved = saving(one.settled, field.direct, best, RESAMPLING)
        relied = rate((one.settled.chosen == best).astype(np.float64), RESAMPLING, clusters=one.settled.ids)
        ahead = [rival.name for rival in rivals if _dominates(rival.settled, one.settled)]
        rows.append(
            (
                one.name,
                percent(gained),
                percent(saved, 0),
                percent(relied, 0),
                percent(gap_closed(one.settled, field.direct, RESAMPLING, best=best), 0),
                ", ".join(ahead) or "none",
            )
        )
    return ReportTable(
        key=key,
        title=title,
        head=(
            "market",
            "pass@1 gained, points",
            "saved, %",
            "reliance, %",
            "oracle gap closed, %",
            "baselines better on both",
        ),
        rows=tuple(rows),
        note=(
            f"{len(field.direct)} test tasks. Gained, saved and reliance: against {agents[best]} doing everything, the "
            "best single agent; 95 % intervals of paired differences over tasks. Learnt routers, and the market, were "
            f"trained on {field.trained_on}."
        ),
    )


def _ours(one: Contender) -> bool:
    return one.name.startswith("SALE")


def _dominates(rival: DecisionOutcomes, ours: DecisionOutcomes) -> bool:
    solved, spent = (
        (float(rival.success.mean()), float(ours.success.mean())),
        (
            float(rival.dollars.mean()),
            float(ours.dollars.mean()),
        ),
    )
    return solved[0] >= solved[1] and spent[0] <= spent[1] and (solved[0] > solved[1] or spent[0] < spent[1])
