"""The tables of a report. Every figure is computed here from recorded runs, and says on how many tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from sale.bench.market_router import coalition_success
from sale.bench.metrics import (
    DecisionOutcomes,
    best_single,
    compare_success,
    escalation,
    gap_closed,
    saving,
    split,
    summary,
    workload,
)
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.report.comparison import DomainComparison
from sale.bench.report.report_table import ReportTable, format_scaled, micro, percent
from sale.bench.routers.fixed import SingleAgent
from sale.bench.shapley import ceiling, shapley_intervals
from sale.bench.signals import areas, judged_bids
from sale.bench.stats import Resampling, detectable_difference, holm, rate

RESAMPLING = Resampling(seed=20260202, resamples=10_000)
# Areas are quadratic in tasks.
FEWER = Resampling(seed=20260202, resamples=2_000)


def main_table(field: DomainComparison, domain: str) -> ReportTable:
    """Pass@1, money, reliance and overhead of every contender, each against the best single agent."""
    best = best_single(field.direct)
    alone = next(one for one in field.contenders if one.name == SingleAgent(field.direct.agents[best]).name)
    ps: dict[str, float] = {}
    for one in field.contenders:
        if one.baseline and one is not alone:
            found = compare_success(one.settled, alone.settled, RESAMPLING)
            ps[one.name] = found.mcnemar if found.mcnemar is not None else found.p
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    rows: list[tuple[str, ...]] = []
    for one in field.contenders:
        found, gap = summary(one.settled, RESAMPLING), gap_closed(one.settled, field.direct, RESAMPLING, best=best)
        rows.append(
            (
                one.name,
                percent(found.pass_at_1),
                f"{corrected[one.name]:.2f}" if one.name in corrected else "–",
                micro(found.dollars_per_task),
                format_scaled(found.dollars_per_mt, 1, 3),
                percent(found.reliance, 0),
                percent(found.overhead, 0),
                percent(saving(one.settled, field.direct, len(field.direct.agents) - 1, RESAMPLING), 0),
                percent(gap, 0),
            )
        )
    discordant = _discordant(field, best)
    least = detectable_difference(len(field.direct), discordant)
    shown = "no difference at all" if least is None else f"a difference of {100 * least:.0f} points"
    return ReportTable(
        key=f"{domain}-main",
        title=f"{domain.capitalize()}: every router on {len(field.direct)} test tasks",
        head=(
            "router",
            "pass@1, %",
            "p",
            "$/task, millionths",
            "$/Mt",
            "largest agent, %",
            "auction, % of $",
            "saved against always-largest, %",
            "oracle gap closed, %",
        ),
        rows=tuple(rows),
        note=(
            f"95 % intervals over tasks. p: against the best single agent, {alone.name}; exact McNemar, or the paired "
            f"bootstrap over several orders; Holm-corrected. With {len(field.direct)} tasks and as many disagreements "
            f"as the best single agent has with the market, {shown} is found four times in five. Learnt routers were "
            f"trained on {field.trained_on}."
        ),
    )


def _discordant(field: DomainComparison, best: int) -> float:
    market = field.find("SALE without memory").settled.success
    differs = np.asarray(market != field.direct.success[:, best], dtype=np.float64)
    return max(float(differs.mean()), 1 / len(field.direct))


def plan_table(field: DomainComparison, domain: str) -> ReportTable:
    """Work with the agent's own plan against work without one."""
    rows: list[tuple[str, ...]] = []
    for number, agent in enumerate(field.direct.agents):
        bid = _has_plan(field, number)
        both = np.column_stack([field.planned.success[bid, number], field.direct.success[bid, number]])
        if not len(both):
            rows.append((agent, "0", "–", "–", "–", "–"))
            continue
        only_with, only_without = int((both[:, 0] > both[:, 1]).sum()), int((both[:, 0] < both[:, 1]).sum())
        with_plan, without = (rate(both[:, column], RESAMPLING) for column in (0, 1))
        rows.append((agent, str(len(both)), percent(with_plan), percent(without), str(only_with), str(only_without)))
    return ReportTable(
        key=f"{domain}-plans",
        title=f"{domain.capitalize()}: does a plan help the work it is for?",
        head=("agent", "tasks with a plan", "pass@1 with it, %", "without, %", "solved only with", "only without"),
        rows=tuple(rows),
        note="On the tasks for which the agent wrote a plan that stood.",
    )


def _has_plan(field: DomainComparison, number: int) -> list[int]:
    agent = field.direct.agents[number]
    rows = field.recorded.auctions
    return [
        place
        for place, task in enumerate(field.recorded.tasks)
        if any(bid.agent == agent for bid in rows[FIRST_BIDS, task.id].bids)
    ]


def bin_table(field: DomainComparison, domain: str) -> ReportTable:
    """Pass@1 by human time, single agents and the market."""
    labels = {task.id: task.time.label for task in field.recorded.tasks}
    counts = Counter(labels.values())
    rows: list[tuple[str, ...]] = []
    for one in field.contenders:
        parts = [split(one.settled, labels)[label] for label in counts]
        rows.append((one.name, *(percent(rate(part.success, RESAMPLING, clusters=part.ids)) for part in parts)))
    return ReportTable(
        key=f"{domain}-bins",
        title=f"{domain.capitalize()}: pass@1 by human minutes, %",
        head=("router", *(f"{label}, n = {count}" for label, count in counts.items())),
        rows=tuple(rows),
        note="`by source`: nobody was timed at these tasks; the bins are those their source fills in HST-Bench.",
    )


def workload_table(field: DomainComparison, domain: str) -> ReportTable:
    """Return the table of each agent's share of wins."""
    labels = {task.id: task.time.label for task in field.recorded.tasks}
    rows: list[tuple[str, ...]] = []
    for one in field.contenders:
        if one.name.startswith("SALE") and "signal" not in one.name:
            for groups in (None, labels):
                found = workload(one.settled, RESAMPLING, groups)
                for label, tasks, shares in zip(found.labels, found.tasks, found.shares, strict=True):
                    rows.append((one.name, label, str(tasks), *(percent(share, 0) for share in shares)))
    return ReportTable(
        key=f"{domain}-workload",
        title=f"{domain.capitalize()}: share of tasks each agent does, %",
        head=("router", "human minutes", "tasks", *field.direct.agents),
        rows=tuple(rows),
    )


def escalation_table(field: DomainComparison, domain: str) -> ReportTable:
    """Choices against the oracle's."""
    name = "SALE" if field.orders else "SALE without memory"
    found = escalation(field.find(name).settled, field.direct, RESAMPLING)
    needed = [*(f"needs {agent}" for agent in found.agents), "nobody solves it"]
    rows = [(row, *map(str, counts)) for row, counts in zip(needed, found.counts.tolist(), strict=True)]
    return ReportTable(
        key=f"{domain}-escalation",
        title=f"{domain.capitalize()}: who was chosen by {name}, against the cheapest agent that solves the task",
        head=("the task", *(f"given to {agent}" for agent in found.agents)),
        rows=tuple(rows),
        note=(
            f"Over-escalated: {percent(found.over, 0)} %; under-escalated: {percent(found.under, 0)} %; just right: "
            f"{percent(found.exact, 0)} %; solved by nobody: {percent(found.hopeless, 0)} %. Who solves a task is "
            "measured without a plan."
        ),
    )


def shapley_table(field: DomainComparison, domain: str) -> ReportTable:
    """Return the table of each agent's contribution, over all coalitions."""
    ideal = shapley_intervals(ceiling(field.direct.success), RESAMPLING)
    held = shapley_intervals(coalition_success(field.recorded), RESAMPLING)
    rows = [
        (agent, percent(one), percent(two)) for agent, one, two in zip(field.direct.agents, ideal, held, strict=True)
    ]
    return ReportTable(
        key=f"{domain}-shapley",
        title=f"{domain.capitalize()}: Shapley values of the agents, points of pass@1",
        head=("agent", "to a perfect choice", "to SALE without memory"),
        rows=tuple(rows),
        note=(
            "Exact, over all coalitions. A coalition's auction is held among its members' bids with the votes of all "
            "jurors: the panel saw all plans at once, so what it would have said of fewer is not known."
        ),
    )


def ablation_table(field: DomainComparison, domain: str) -> ReportTable:
    """SALE without memory, with one thing taken out each time."""
    whole = field.ablations[0].settled
    rows: list[tuple[str, ...]] = []
    for one in field.ablations:
        found = summary(one.settled, RESAMPLING)
        against = compare_success(one.settled, whole, RESAMPLING).difference
        changed = float(np.asarray(one.settled.chosen != whole.chosen, dtype=np.float64).mean())
        rows.append(
            (
                one.name,
                percent(found.pass_at_1),
                "–" if one is field.ablations[0] else percent(against),
                micro(found.dollars_per_task),
                percent(found.reliance, 0),
                f"{100 * changed:.0f}",
            )
        )
    return ReportTable(
        key=f"{domain}-ablations",
        title=f"{domain.capitalize()}: SALE without memory, with one thing taken out",
        head=(
            "variant",
            "pass@1, %",
            "difference, points",
            "$/task, millionths",
            "largest agent, %",
            "awards changed, %",
        ),
        rows=tuple(rows),
        note=(
            "Default weights; changed are tasks awarded to another agent. What a variant would save by asking fewer "
            "jurors is not taken off its cost."
        ),
    )


def signal_table(field: DomainComparison, domain: str, *, planned: bool) -> ReportTable:
    """Return the table of signals in a bid that predict its author's success."""
    agents = field.direct.agents
    bids = judged_bids(field.recorded, planned=planned)
    found = areas(bids, agents, agents, FEWER)
    names = list(dict.fromkeys(one.signal for one in found))
    cells = {(one.signal, one.agent): one for one in found}
    rows = [(name, *(format_scaled(cells[name, agent].area, 1, 2) for agent in (None, *agents))) for name in names]
    how = "with its plan" if planned else "without its plan"
    counts = [cells["price", agent] for agent in (None, *agents)]
    return ReportTable(
        key=f"{domain}-signals-{'planned' if planned else 'direct'}",
        title=f"{domain.capitalize()}: what ranks bids by their author's success {how}",
        head=("signal", *(f"{who}, {one.good} + {one.bad}" for who, one in zip(("all", *agents), counts, strict=True))),
        rows=tuple(rows),
        note=(
            "Area under the ROC curve, among bids on tasks of one source only: 0.5 is chance, below it the signal "
            "points the other way. Good and bad bids are counted in the head; a dash: fewer than five of one kind."
        ),
    )


def opinion_table(field: DomainComparison, domain: str) -> ReportTable | None:
    """Return the table of agreement between the judging model and the string rule."""
    recorded = field.recorded
    by_rule = {
        (task, work.answer): work.success for (task, _, _), work in recorded.works.items() if work.answer.strip()
    }
    counts = Counter(
        ("right" if by_rule[key] else "wrong", verdict) for key, verdict in recorded.opinions.items() if key in by_rule
    )
    if not counts:
        return None
    rows = [
        (f"{rule} by the string rule", *(str(counts[rule, verdict]) for verdict in ("success", "failure", "unknown")))
        for rule in ("right", "wrong")
    ]
    agree = counts["right", "success"] + counts["wrong", "failure"]
    total = sum(counts.values())
    return ReportTable(
        key=f"{domain}-opinions",
        title=f"{domain.capitalize()}: the judging model on {total} different short answers",
        head=("", "judged right", "judged wrong", "no verdict"),
        rows=tuple(rows),
        note=f"They agree on {agree} of {total}.",
    )


def check_table(field: DomainComparison, domain: str) -> ReportTable | None:
    """Return the table of the verdicts of the examples in tasks' own texts, against the outcomes."""
    recorded = field.recorded
    counts = Counter(
        (agent, verdict, work.success)
        for (task, agent, _), work in recorded.works.items()
        if (verdict := recorded.checks.get((task, work.answer))) in {"success", "failure"}
    )
    if not counts:
        return None
    ways = (("success", True), ("success", False), ("failure", True), ("failure", False))
    rows = [(agent, *(str(counts[agent, verdict, good]) for verdict, good in ways)) for agent in recorded.agents]
    totals = [sum(counts[agent, verdict, good] for agent in recorded.agents) for verdict, good in ways]
    return ReportTable(
        key=f"{domain}-examples",
        title=f"{domain.capitalize()}: answers by the examples in the task's own text, and by its hidden tests",
        head=("agent", "pass, right", "pass, wrong", "fail, right", "fail, wrong"),
        rows=(*rows, ("all", *map(str, totals))),
        note="Of work with a plan and without. Tasks without examples are left out.",
    )


def overall_table(fields: Mapping[str, DomainComparison], joined: Mapping[str, DecisionOutcomes]) -> ReportTable:
    """Both domains together."""
    rows: list[tuple[str, ...]] = []
    for name, one in joined.items():
        found = summary(one, RESAMPLING)
        cells = (percent(found.pass_at_1), micro(found.dollars_per_task), percent(found.reliance, 0))
        rows.append((name, *cells, percent(found.overhead, 0)))
    total = sum(len(field.direct) for field in fields.values())
    return ReportTable(
        key="overall-main",
        title=f"Overall: {total} test tasks of both domains",
        head=("router", "pass@1, %", "$/task, millionths", "largest agent, %", "auction, % of $"),
        rows=tuple(rows),
    )


def record_table(fields: Mapping[str, DomainComparison], dev: Mapping[str, int]) -> ReportTable:
    """Return the table of what is on record."""
    rows: list[tuple[str, ...]] = []
    for domain, field in fields.items():
        for source, count in Counter(task.source for task in field.recorded.tasks).items():
            rows.append((domain, source, str(count)))
        rows.append((domain, "dev tasks", str(dev.get(domain, 0))))
        rows.append((domain, "task orders with memory", str(len(field.orders))))
    return ReportTable(key="record", title="On record", head=("domain", "source", "tasks"), rows=tuple(rows))
