"""A pool over several domains, domain by domain: how much of a gain is knowing which agent is for what."""

from __future__ import annotations

import numpy as np

from sale.bench.metrics import DecisionOutcomes, compare_success, settle, split, summary
from sale.bench.report.comparison import Contender, DomainComparison
from sale.bench.report.report_table import ReportTable, micro, percent
from sale.bench.report.tables import RESAMPLING
from sale.bench.routers.protocol import Routing

BY_HAND = "best agent of each domain"


def domain_table(field: DomainComparison, key: str, title: str) -> ReportTable:
    """Success and cost in each domain, of all contenders and of a rule that could be written by hand.

    The rule knows each task's domain, which no router is told, and who is best there on these very tasks.
    """
    labels = {task.id: task.domain for task in field.recorded.tasks}
    domains = tuple(dict.fromkeys(labels.values()))
    hand = Contender(name=BY_HAND, settled=_by_hand(field, labels))
    rows: list[tuple[str, ...]] = []
    for one in (*field.contenders, hand):
        cells = [one.name]
        for part in split(one.settled, labels).values():
            found = summary(part, RESAMPLING)
            cells += [percent(found.pass_at_1), micro(found.dollars_per_task)]
        gained = compare_success(one.settled, hand.settled, RESAMPLING).difference if one is not hand else None
        rows.append((*cells, percent(gained)))
    heads = [head for domain in domains for head in (f"{domain}: pass@1, %", f"{domain}: $/task, millionths")]
    return ReportTable(
        key=key,
        title=title,
        head=("router", *heads, "against the best of each domain, points"),
        rows=tuple(rows),
        note="95 % intervals over tasks. Routers see a task's text and are not told its domain.",
    )


def _by_hand(field: DomainComparison, labels: dict[str, str]) -> DecisionOutcomes:
    """Each domain's most successful agent, the cheaper of equals, does all of it."""
    direct = field.direct
    own = np.array([labels[name] for name in direct.ids])
    chosen = np.zeros(len(direct), dtype=np.intp)
    for domain in dict.fromkeys(own.tolist()):
        rows = own == domain
        order = np.lexsort((direct.dollars[rows].mean(axis=0), -direct.success[rows].mean(axis=0)))
        chosen[rows] = order[0]
    return settle((direct, Routing.of(chosen, len(direct.agents))))
