"""What a dear agent's plan is worth in a cheap agent's hands: the report of docs/research/plans-settled.md.

    python -m benchmarks.crossed

Read from `benchmarks/records/hst-open` and `benchmarks/records/crossed`. Where a domain is not whole on record only the
interim that its frozen specification allows is said: cells, solved with the plan and without, the difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.ways import RESAMPLED, RESAMPLING, Way, above_mixtures, page_with
from sale.bench.crossed_cells import CrossedTasks, load_crossed
from sale.bench.report.cross_validation import FOLDS, SEED, cross_fit, join_routings
from sale.bench.report.report_table import ReportTable, micro, percent
from sale.bench.routers.cope import Cope
from sale.bench.routers.estimators import folds
from sale.bench.routers.features import Embeddings, Features
from sale.bench.routers.frugalgpt import FrugalGpt
from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.bench.routers.tuning import outcome
from sale.bench.stats import compare_paired, mean, rate
from sale.bench.tasks.hst_open import hst_open
from sale.models.embedding import MiniLMEmbedder
from sale.wording import quantity

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "records"
PAGE = ROOT / "docs" / "research" / "plans-settled.md"
BEGIN, END = "<!-- crossed: begin -->", "<!-- crossed: end -->"
DOMAINS = {"search": ("search-test",), "coding": ("coding-test", "coding-dev")}


def merged(parts: Sequence[CrossedTasks]) -> CrossedTasks:
    """The tasks of several records of one pair of agents."""
    tasks = tuple(task for part in parts for task in part.tasks)
    return replace(parts[0], tasks=tasks, wanted=sum(part.wanted for part in parts))


def load(domain: str, records: Path) -> CrossedTasks | None:
    """The crossed cells of a domain as far as they are on record; `None` where there are none."""
    parts: list[CrossedTasks] = []
    missing = 0
    for name in DOMAINS[domain]:
        plans = records / "hst-open" / f"{name}.jsonl.xz"
        split = "dev" if name.endswith("dev") else "test"
        tasks = [task for task in hst_open(split=split) if task.domain == domain]
        found = (records / "crossed" / f"{name}.jsonl{end}" for end in ("", ".xz"))
        record = next((path for path in found if path.exists()), None)
        if record is None:
            missing += len(tasks)
        else:
            parts.append(load_crossed(plans, record, tasks))
    if not parts:
        return None
    found = merged(parts)
    return replace(found, wanted=found.wanted + missing)


def cells(found: CrossedTasks) -> Iterator[Way]:
    """Each cell for all tasks: the executor on the planner's plan first, without a plan second."""
    for name, cell in (
        (f"{found.executor} on the plan of {found.planner}", "crossed"),
        (f"{found.executor} without a plan", "alone"),
        (f"{found.executor} on its own plan", "own"),
        (f"{found.planner} without a plan", "planner_alone"),
        (f"{found.planner} on its own plan", "planner_own"),
    ):
        given = [getattr(one, cell) for one in found.tasks]
        yield Way(
            name=name,
            success=np.array([float(one.success) for one in given]),
            dollars=np.array([one.dollars for one in given]),
        )


def baselines(found: CrossedTasks, features: Features) -> Iterator[Way]:
    """Who is compared at the money, each fitted on the other folds' tasks alone."""
    direct = found.direct()
    yield _routed("by kind: the best agent for the source, cross-fitted", direct, by_kind(direct))
    if any(one.alone.check for one in found.tasks):
        yield _routed(f"{found.executor}, then {found.planner} where examples fail", direct, by_examples(direct))
    else:
        yield _routed("FrugalGPT, cross-fitted", direct, cross_fit(FrugalGpt(features), direct))
    stages = found.stages()
    yield _routed("COPE, cross-fitted", stages, cross_fit(Cope(features), stages))


def _routed(name: str, table: OutcomeTable, routing: Routing) -> Way:
    success, dollars = outcome(routing, table)
    return Way(name=name, success=success, dollars=dollars)


def by_kind(table: OutcomeTable) -> Routing:
    """For each source the agent that solved most of it in the other folds; where equal, or unseen, the cheaper."""
    groups = np.array(table.groups)
    parts: list[tuple[np.ndarray, Routing]] = []
    for train, test in folds(len(table), FOLDS, SEED):
        chosen = np.zeros(len(test), dtype=np.intp)
        for place, row in enumerate(test):
            alike = train[groups[train] == groups[row]]
            chosen[place] = int(np.argmax(table.success[alike].sum(axis=0))) if len(alike) else 0
        parts.append((test, Routing.of(chosen, len(table.agents))))
    return join_routings(parts, table)


def by_examples(table: OutcomeTable) -> Routing:
    """The first agent; the second, too, where the examples in the task's text fail."""
    failed = np.zeros(len(table), np.bool_) if table.checks is None else table.checks[:, 0] < 0
    routing = Routing.of(failed.astype(np.intp), len(table.agents))
    called = routing.called.copy()
    called[:, 0] = True
    return replace(routing, called=called)


def interim(found: CrossedTasks, domain: str) -> str:
    """All that may be said before the recording is whole."""
    crossed, alone, *_ = cells(found)
    lead = compare_paired(crossed.success, alone.success, RESAMPLING)
    return (
        f"{domain.capitalize()}, interim: {len(found.tasks)} of {quantity(found.wanted, 'task')}. "
        f"Solved with the plan {percent(rate(crossed.success, RESAMPLING))} %, "
        f"without {percent(rate(alone.success, RESAMPLING))} %; difference {percent(lead.difference)} points. "
        f"Nothing is decided by it. {comparable(found)}"
    )


def comparable(found: CrossedTasks) -> str:
    """How far the executor's work without a plan came out as it is on the record of the plans."""
    pairs = [(one.again, one.alone) for one in found.tasks if one.again is not None]
    if not pairs:
        return "Nothing was done anew without a plan."
    same = sum(new.success == old.success for new, old in pairs)
    letters = sum(new.answer == old.answer for new, old in pairs)
    return (
        f"Without a plan, done anew: {quantity(len(pairs), 'task')}, {same} with the recorded outcome, {letters} with "
        "the recorded answer to the letter."
    )


def alike(found: CrossedTasks) -> str:
    """How often the executor asks its model with the plan and without it, and how often both end alike."""
    pairs = [(one.crossed, one.alone) for one in found.tasks if one.planned]
    if not pairs:
        return "No task has a plan."
    with_plan, without = (np.mean([cell.calls for cell in cells]) for cells in zip(*pairs, strict=True))
    as_often = sum(one.calls == other.calls for one, other in pairs)
    same = sum(one.answer == other.answer for one, other in pairs)
    return (
        f"On the {quantity(len(pairs), 'task')} with a plan the executor calls its model {with_plan:.2f} times with it "
        f"and {without:.2f} times without, as often both ways on {as_often}; on {same} both answers are the same to "
        "the letter."
    )


def within_build(found: CrossedTasks) -> str:
    """The difference to work without a plan that was done anew, where all of it was."""
    anew = [float(one.again.success) for one in found.tasks if one.again is not None]
    if len(anew) < len(found.tasks):
        return ""
    lead = compare_paired([float(one.crossed.success) for one in found.tasks], anew, RESAMPLING)
    return f" Within one build the plan is worth {percent(lead.difference)} points."


def table(found: CrossedTasks, domain: str, features: Features) -> ReportTable:
    """All cells and baselines, against the executor without a plan."""
    ways = [*cells(found), *baselines(found, features)]
    reference, singles = ways[1], [ways[1], ways[3]]
    rows: list[tuple[str, ...]] = []
    for way in ways:
        lead = None if way is reference else compare_paired(way.success, reference.success, RESAMPLING)
        rows.append(
            (
                way.name,
                percent(rate(way.success, RESAMPLING)),
                micro(mean(way.dollars, RESAMPLING)),
                "–" if lead is None else percent(lead.difference),
                "–" if lead is None or lead.mcnemar is None else f"{lead.mcnemar:.3f}",
                percent(above_mixtures(way, singles)),
            )
        )
    return ReportTable(
        key=f"crossed-{domain}",
        title=f"{domain.capitalize()}: {quantity(len(found.tasks), 'task')}",
        head=(
            "who works, on what plan",
            "solved, %",
            "$/task, millionths",
            "above the executor without a plan, points",
            "p (McNemar)",
            "above random mixtures, points",
        ),
        rows=tuple(rows),
        note=f"95 % intervals over tasks, differences paired. {RESAMPLED} {comparable(found)}{within_build(found)} "
        f"{alike(found)}",
    )


def report(records: Path, features: Features) -> str:
    """What the page says."""
    parts: list[str] = []
    for domain in DOMAINS:
        found = load(domain, records)
        if found is None:
            parts.append(f"{domain.capitalize()}: nothing is recorded yet.")
        else:
            parts.append(table(found, domain, features).markdown() if found.whole else interim(found, domain))
    return "\n\n".join(parts)


def page(text: str, said: str) -> str:
    """The page with its report."""
    return page_with(text, said, BEGIN, END)


def main() -> None:
    """Write the report into its page."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page(text, report(RECORDS, Embeddings(MiniLMEmbedder()))), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
