"""The tables and the figure of docs/private-knowledge.md, from however much of it is on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.figure import Figure

from benchmarks.private_knowledge.pasts import PASTS, decided
from benchmarks.private_knowledge.rules import BEYOND_MATCH, PRIMARY, Way, beyond_name, ways
from sale.bench.metrics import DecisionOutcomes, compare_dollars, compare_success, split, summary
from sale.bench.online import Embed
from sale.bench.pareto import ParetoPoint, pareto_plot
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import GROUNDED, RecordedTasks, load_recorded, merge_records
from sale.bench.report.report_table import ReportTable, format_scaled, micro, percent
from sale.bench.routers.protocol import Floats, OutcomeTable, Router
from sale.bench.signals import JudgedBid, area_over_pairs, judged_bids
from sale.bench.stats import Interval, Resampling, bootstrap, holm, mean, ratio
from sale.bench.tasks.schema import BenchTask
from sale.learning.mixtures import mixture_line
from sale.learning.spending import BEYOND

RESAMPLING = Resampling(seed=20261128, resamples=10_000)
FEWER = Resampling(seed=20261128, resamples=1_000)
"""For what is computed anew on every resample."""
DOMAINS = ("search", "coding")
MIN_BIDS = 5
"""Fewer bids of one outcome have no area."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row with one past."""

    way: Way
    past: int | None
    settled: DecisionOutcomes


def load(folder: Path, passages: str, split_name: str, tasks: Sequence[BenchTask]) -> RecordedTasks | None:
    """What is on record of one division of the passages and one split of the tasks; `None` where nothing is whole."""
    parts: list[RecordedTasks] = []
    for domain in DOMAINS:
        path = folder / f"{passages}-{domain}-{split_name}.jsonl"
        packed = path.with_name(path.name + ".xz")
        if not path.exists() and not packed.exists():
            continue
        wanted = [task for task in tasks if task.domain == domain and task.split == split_name]
        found = load_recorded(path if path.exists() else packed, wanted)
        both = [task for task in found.tasks if (GROUNDED, task.id) in found.auctions]
        parts.append(replace(found, tasks=both))
    whole = merge_records(parts) if parts else None
    return whole if whole is not None and whole.tasks else None


def entries(
    test: RecordedTasks,
    dev: RecordedTasks | None,
    embed: Embed,
    routers: Sequence[Router],
    pasts: Sequence[int | None] = PASTS,
    multiples: Sequence[float] = (BEYOND,),
) -> Iterator[Entry]:
    """Every row; those that learn with every past that is enough for them."""
    table = test.table(planned=False)
    for way in ways(test, embed, routers, multiples):
        for past in pasts if way.learns else (None,):
            settled = decided(test, dev, table, past, way.decide)
            if settled is not None:
                yield Entry(way=way, past=past, settled=settled)


def main_table(rows: Sequence[Entry], table: OutcomeTable, key: str, title: str) -> ReportTable:
    """Success, money and the primary row's lead over every rival; Holm over all that are compared."""
    ours = next((row for row in rows if row.way.name == PRIMARY and row.past is None), None)
    compared = {
        id(row): (
            compare_success(ours.settled, row.settled, RESAMPLING),
            compare_dollars(ours.settled, row.settled, RESAMPLING),
        )
        for row in rows
        if ours is not None and row is not ours and row.way.rival and row.past is None
    }
    corrected = dict(zip(compared, holm([found.p for found, _ in compared.values()]), strict=True))
    cells: list[tuple[str, ...]] = []
    for row in rows:
        if row.past is not None:
            continue
        found = summary(row.settled, RESAMPLING)
        lead = compared.get(id(row))
        cells.append(
            (
                row.way.name,
                percent(found.pass_at_1),
                micro(found.dollars_per_task),
                micro(ratio(row.settled.dollars, row.settled.success, RESAMPLING, clusters=row.settled.ids)),
                percent(
                    ratio(
                        row.settled.extra, row.settled.dollars - row.settled.extra, RESAMPLING, clusters=row.settled.ids
                    ),
                    0,
                ),
                percent(above_mixtures(row.settled, table)),
                percent(lead[0].difference) if lead else "–",
                f"{corrected[id(row)]:.3f}" if lead else "–",
                micro(lead[1].difference) if lead else "–",
            )
        )
    return ReportTable(
        key=key,
        title=f"{title}: {len(table)} test tasks, everything known of past tasks",
        head=(
            "who decides",
            "solved, %",
            "$/task, millionths",
            "$/solved task, millionths",
            "auction, % of the work",
            "above random mixtures, points",
            f"{PRIMARY} solves more, points",
            "p (Holm)",
            "and costs more, millionths a task",
        ),
        rows=tuple(cells),
        note=(
            f"95 % intervals over tasks, paired bootstrap; p corrected over the {len(compared)} rows compared. Above "
            "random mixtures: against drawing among single agents for the same money."
        ),
    )


def above_mixtures(settled: DecisionOutcomes, table: OutcomeTable) -> Interval | None:
    """Success less what mixing single agents at random reaches for the same money."""
    places = {name: place for place, name in enumerate(table.ids)}
    at = [places[name] for name in settled.ids]
    agents = len(table.agents)
    columns = np.column_stack(
        [settled.success, settled.dollars, table.success[at], table.dollars[at], np.ones(len(settled))]
    )

    def statistic(sums: Floats) -> Floats:
        means = sums[:, :-1] / sums[:, -1:]
        lines: list[float] = []
        for success, dollars, *each in cast("list[list[float]]", means.tolist()):
            rates, costs = np.array(each[:agents]), np.array(each[agents:])
            line = mixture_line(costs, rates)
            lines.append(success - float(np.interp(dollars, line[:, 0], line[:, 1])))
        return np.array(lines)

    return bootstrap(columns, statistic, FEWER, clusters=settled.ids)[0]


def start_table(rows: Sequence[Entry], key: str, title: str) -> ReportTable:
    """Success and money by how many past tasks are known."""
    names = list(dict.fromkeys(row.way.name for row in rows if row.way.learns))
    known = {(row.way.name, row.past): summary(row.settled, RESAMPLING) for row in rows}
    cells: list[tuple[str, ...]] = []
    for name in [*(row.way.name for row in rows if not row.way.learns), *names]:
        line = [name]
        for past in PASTS:
            found = known.get((name, past if name in names else None))
            line.append(f"{percent(found.pass_at_1)} at {micro(found.dollars_per_task)}" if found else "–")
        cells.append(tuple(line))
    return ReportTable(
        key=key,
        title=f"{title}: solved, %, at millionths of a dollar a task, by past tasks known",
        head=("who decides", *("all" if past is None else str(past) for past in PASTS)),
        rows=tuple(cells),
        note="A dash: too few to learn from. Who learns nothing has the same figures throughout.",
    )


def lead_table(rows: Sequence[Entry], key: str, title: str, name: str = PRIMARY) -> ReportTable:
    """A row, the primary one unless named, against every rival, by past tasks known; Holm within a column."""
    cells: dict[str, list[str]] = {}
    rivals = list(dict.fromkeys(row.way.name for row in rows if row.way.rival and row.way.name != name))
    by = {(row.way.name, row.past): row for row in rows}
    for past in PASTS:
        ours = by.get((name, past))
        found: dict[str, tuple[Interval, float]] = {}
        for rival in rivals:
            theirs = by.get((rival, past)) or (by.get((rival, None)) if not _learns(rows, rival) else None)
            if ours is not None and theirs is not None:
                compared = compare_success(ours.settled, theirs.settled, RESAMPLING)
                found[rival] = (compared.difference, compared.p)
        corrected = dict(zip(found, holm([p for _, p in found.values()]), strict=True))
        for rival in rivals:
            shown = f"{percent(found[rival][0])}, p {corrected[rival]:.3f}" if rival in found else "–"
            cells.setdefault(rival, []).append(shown)
    return ReportTable(
        key=key,
        title=f"{title}: {name} solves more, points, by past tasks known",
        head=("than", *("all" if past is None else str(past) for past in PASTS)),
        rows=tuple((rival, *line) for rival, line in cells.items()),
        note="95 % intervals over tasks; p corrected over the rows of each column.",
    )


def _learns(rows: Sequence[Entry], name: str) -> bool:
    return any(row.way.learns for row in rows if row.way.name == name)


def area_table(test: RecordedTasks) -> ReportTable:
    """How well every juror ranks bids by what came of them, within a source and within a task."""
    cells: list[tuple[str, ...]] = []
    for title, recorded in (("what was found", test.with_evidence()), ("plans", test)):
        bids = judged_bids(recorded, planned=False)
        for juror in sorted({score.juror for one in bids for score in one.bid.scores}):
            for domain in DOMAINS:
                own = {task.id for task in recorded.tasks if task.domain == domain}
                known = [(one, value) for one in bids if one.task in own and (value := _by(one, juror)) is not None]
                good = sum(one.success for one, _ in known)
                cells.append(
                    (
                        juror,
                        title,
                        domain,
                        format_scaled(_area(known, lambda one: one.source), 1, 2),
                        format_scaled(_area(known, lambda one: one.task), 1, 2),
                        f"{good} + {len(known) - good}",
                    )
                )
    return ReportTable(
        key="areas",
        title="How well jurors rank bids by what came of the work",
        head=("juror", "reads", "tasks", "area within a source", "area within a task", "succeeded + failed"),
        rows=tuple(cells),
        note="0.5 is chance; 95 % intervals over tasks. A dash: too few bids of one outcome.",
    )


def _by(one: JudgedBid, juror: str) -> float | None:
    return next((score.value for score in one.bid.scores if score.juror == juror and not score.imputed), None)


def _area(known: Sequence[tuple[JudgedBid, float]], kind: Callable[[JudgedBid], str]) -> Interval | None:
    success = np.array([one.success for one, _ in known], dtype=np.bool_)
    if min(int(success.sum()), int((~success).sum())) < MIN_BIDS:
        return None
    kinds = np.array([kind(one) for one, _ in known])
    values = np.array([value for _, value in known])
    return area_over_pairs(values, success, kinds[:, None] == kinds[None, :], [one.task for one, _ in known], FEWER)


def cost_table(test: RecordedTasks) -> ReportTable:
    """What the parts of an auction cost beside the work of the agents."""
    table = test.table(planned=False)
    work = {task: float(table.dollars[row].mean()) for row, task in enumerate(table.ids)}
    best = table.success.mean(axis=0).argmax()
    cells: list[tuple[str, ...]] = []
    for domain in DOMAINS:
        ids = [task.id for task in test.tasks if task.domain == domain]
        if not ids:
            continue
        alone = [float(table.dollars[table.ids.index(task), best]) for task in ids]
        cells.append((domain, "work", f"{table.agents[best]}, the best alone", micro(mean(alone, RESAMPLING)), "100"))
        cells.append(
            (domain, "work", "an agent, on average", micro(mean([work[task] for task in ids], RESAMPLING)), "–")
        )
        for order in (FIRST_BIDS, GROUNDED):
            rows = [test.auctions[order, task] for task in ids]
            for key in sorted({key for row in rows for key in row.paid}):
                paid = [row.paid.get(key, 0.0) for row in rows]
                share = 100 * sum(paid) / sum(alone) if sum(alone) else 0.0
                cells.append((domain, order, " ".join(key), micro(mean(paid, RESAMPLING)), f"{share:.0f}"))
    return ReportTable(
        key="costs",
        title="What auctions cost when everybody bids and every juror reads every bid",
        head=("tasks", "part of", "who", "$/task, millionths", "% of the best agent's work"),
        rows=tuple(cells),
    )


def pick_table(test: RecordedTasks) -> ReportTable:
    """In search: whether a look had found the passage, and whose bid each juror likes best."""
    held = test.with_evidence()
    tasks = [task for task in held.tasks if task.domain == "search"]
    rows = [held.auctions[FIRST_BIDS, task.id] for task in tasks]
    quoting = [
        {bid.agent for bid in row.bids for one in bid.strategy.evidence if one.source in task.evidence}
        for task, row in zip(tasks, rows, strict=True)
    ]
    cells: list[tuple[str, ...]] = []
    if tasks:
        seen = [float(bool(found)) for found in quoting]
        cells.append(("some look", "found the passage", percent(mean(seen, RESAMPLING)), str(len(tasks))))
    for juror in sorted({score.juror for row in rows for bid in row.bids for score in bid.scores}):
        picked: list[float] = []
        for row, found in zip(rows, quoting, strict=True):
            given = [
                (score.value, bid.agent)
                for bid in row.bids
                for score in bid.scores
                if score.juror == juror and not score.imputed
            ]
            if found and given:
                picked.append(float(max(given)[1] in found))
        if picked:
            cells.append((juror, "likes its bid best", percent(mean(picked, RESAMPLING)), str(len(picked))))
    return ReportTable(
        key="picks",
        title="Search: who has the passage, and who sees it",
        head=("who", "what", "of tasks, %", "tasks"),
        rows=tuple(cells),
        note="Of the jurors: on tasks where a look had found the passage.",
    )


SHOWN = {
    PRIMARY: "grounded",
    "SALE plain": "plans",
    "by hand: code to coder, questions to librarian-1": "by hand",
    "broadcast": "broadcast",
    "oracle": "oracle",
}
"""Points of the figure beside single agents and the best router, by their short names."""


def figure(rows: Sequence[Entry]) -> Figure:
    """Success against cost with the line of random mixtures; everything known of past tasks."""
    known = [(row, summary(row.settled, RESAMPLING)) for row in rows if row.past is None]
    routers = [pair for pair in known if pair[0].way.learns and not pair[0].way.name.startswith("SALE")]
    best = max(routers, key=lambda pair: pair[1].pass_at_1.value, default=(None, None))[0]
    points: list[ParetoPoint] = []
    for row, found in known:
        name = row.way.name
        if not (row.way.agent or name in SHOWN or row is best):
            continue
        kind = "agent" if row.way.agent else "oracle" if name == "oracle" else "ours" if "SALE" in name else "router"
        label = SHOWN.get(name, name.replace("librarian-", "lib. "))
        points.append(ParetoPoint(name=label, cost=found.dollars_per_task, success=found.pass_at_1, kind=kind))
    return pareto_plot(points, height=3.4)


def sheets(test: RecordedTasks, rows: Sequence[Entry], passages: str) -> Iterator[ReportTable]:
    """Every table of one division of the passages."""
    table = test.table(planned=False)
    labels = {task.id: task.domain for task in test.tasks}
    parts = {"overall": (rows, table)}
    for domain in DOMAINS:
        own = [place for place, task in enumerate(test.tasks) if task.domain == domain]
        if own and len(own) < len(test.tasks):
            kept = [on_some(row, split(row.settled, labels)[domain]) for row in rows]
            parts[domain] = (kept, table.take(own))
    for name, (some, of) in parts.items():
        title = f"Passages by {passages}, {name}"
        yield main_table(some, of, f"{passages}-{name}", title)
        yield lead_table(some, f"{passages}-{name}-leads", title)
        for place, row in enumerate(BEYOND_MATCH):
            chosen = beyond_name(row, BEYOND)
            if any(one.way.name == chosen for one in some):
                yield lead_table(some, f"{passages}-{name}-beyond-leads{'-attempts' * place}", title, chosen)
        yield start_table(some, f"{passages}-{name}-pasts", title)
    for sheet in (area_table(test), pick_table(test), cost_table(test)):
        yield replace(sheet, key=f"{passages}-{sheet.key}", title=f"Passages by {passages}. {sheet.title}")


def on_some(row: Entry, settled: DecisionOutcomes) -> Entry:
    """The same row on some tasks."""
    return replace(row, settled=settled)
