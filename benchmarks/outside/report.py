"""The tables of docs/outside-tables.md: aggregates, and no text of the tables they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.outside.contenders import CheckedEntry, Entry
from benchmarks.outside.measures import Measured, accounts, measured, reaches
from benchmarks.outside.tables import Source
from sale.bench.metrics import best_single
from sale.bench.report.report_table import ReportTable, format_scaled, percent
from sale.bench.routers.protocol import OutcomeTable
from sale.bench.stats import holm

YES = {True: "yes", False: "no"}


def router_table(key: str, source: Source, table: OutcomeTable, entries: Sequence[Entry]) -> ReportTable:
    """Every contender: success, dollars, and against the best agent and against mixtures."""
    found = [measured(entry, table) for entry in entries]
    tested = [place for place, one in enumerate(found) if one.entry.learnt and one.above is not None]
    corrected = dict(zip(tested, holm([_p_above(found[place]) for place in tested]), strict=True))
    rows = [
        (
            one.entry.name,
            percent(one.solved),
            format_scaled(one.dollars, 1, _digits(table)),
            percent(one.gained.difference),
            percent(one.saved, 0),
            "–" if one.above is None else percent(one.above.difference),
            f"{corrected[place]:.3f}" if place in corrected else "–",
        )
        for place, one in enumerate(found)
    ]
    return ReportTable(
        key=f"{key}-routers",
        title=f"{source.title}: every router, {len(table)} tasks, {len(table.agents)} agents",
        head=("", "solved, %", "$/task", "gained, points", "saved, %", "above mixtures, points", "p (Holm)"),
        rows=tuple(rows),
        note=f"Gained and saved against the best single agent. {_intervals(table)} Source: {source.repository}.",
    )


def check_table(key: str, source: Source, table: OutcomeTable, found: Sequence[CheckedEntry]) -> ReportTable:
    """The surface of checks: where each pays, and how much it may cost."""
    shown = [measured(one.entry, table) for one in found]
    ps = holm([one.p_as_good for one in shown])
    rows = [
        (
            f"{100 * one.check.false_pass:.0f}",
            f"{100 * one.check.false_fail:.0f}",
            percent(got.solved),
            format_scaled(got.dollars, 1, _digits(table)),
            percent(got.gained.difference),
            f"{p:.4f}",
            percent(got.saved, 0),
            YES[got.as_good and got.cheaper],
            YES[got.as_good and got.halves],
            _price(got.then),
            _price(got.half),
            "–" if got.above is None else percent(got.above.difference),
        )
        for one, got, p in zip(found, shown, ps, strict=True)
    ]
    return ReportTable(
        key=f"{key}-checks",
        title=f"{source.title}: the market under checks of stated quality",
        head=(
            "wrong work passed, %",
            "right work refused, %",
            "solved, %",
            "$/task",
            "gained, points",
            "p, fewer by 4 points (Holm)",
            "saved, %",
            "pays",
            "as many for half",
            "check may cost, then, %",
            "half, %",
            "above mixtures, points",
        ),
        rows=tuple(rows),
        note=(
            "Gained and saved against the best single agent, a check's price of 2 % of the work it looks at included. "
            "Pays: the interval of the gain lies above −4 points and that of the saving above 0. A check may cost so "
            "much of the work it looks at before all costs as much as the best agent (then), or half as much. "
            f"{_intervals(table)}"
        ),
    )


def afterwards_table(key: str, source: Source, table: OutcomeTable, entries: Sequence[Entry]) -> ReportTable:
    """The stated check with other goals: asked when the answer was known, so that it proves nothing."""
    found = [measured(entry, table) for entry in entries]
    rows = [
        (
            one.entry.name,
            percent(one.solved),
            format_scaled(one.dollars, 1, _digits(table)),
            percent(one.gained.difference),
            percent(one.saved, 0),
            YES[one.as_good and one.halves],
            "–" if one.above is None else percent(one.above.difference),
        )
        for one in found
    ]
    return ReportTable(
        key=f"{key}-afterwards",
        title=f"{source.title}: the stated check with other goals, and worse checks, asked afterwards",
        head=(
            "goal or check",
            "solved, %",
            "$/task",
            "gained, points",
            "saved, %",
            "as many for half",
            "above mixtures, points",
        ),
        rows=tuple(rows),
        note=(
            "Asked once the answer was known, so that these rows prove nothing. A worth is that of a solved task, in "
            "executions of the best agent; a check is named by what it passes of wrong work and refuses of right work, "
            f"in percent. {_intervals(table)}"
        ),
    )


def loss_table(key: str, source: Source, table: OutcomeTable, stated: CheckedEntry) -> ReportTable:
    """Where the market and the best agent differ under the stated check, by repository."""
    rows = [
        (
            name,
            str(one.tasks),
            f"{one.best:.0f}",
            f"{one.market:.1f}",
            f"{one.passed_wrong:.1f}",
            f"{one.refused_right:.1f}",
            f"{one.unsolved:.1f}",
            f"{one.won:.1f}",
            f"{100 * (1 - one.market_dollars / one.best_dollars):.0f}",
        )
        for name, one in accounts(stated, table).items()
    ]
    return ReportTable(
        key=f"{key}-losses",
        title=f"{source.title}: where the market and {table.agents[best_single(table)]} differ under the stated check",
        head=(
            "",
            "tasks",
            "the best agent solves",
            "the market solves",
            "lost: wrong work passed",
            "lost: right work refused",
            "lost: nobody asked solves it",
            "won",
            "saved, %",
        ),
        rows=tuple(rows),
        note="Means over the seeds of the check.",
    )


def reach_table(key: str, source: Source, table: OutcomeTable, stated: CheckedEntry) -> ReportTable:
    """How far tasks went under the stated check, and where the dollars went."""
    found = reaches(stated, table)
    total = sum(one.market_dollars for one in found)
    rows = [
        (
            f"{one.called}, {'solved' if one.solved else 'not solved'}",
            f"{one.tasks:.1f}",
            f"{one.best:.1f}",
            f"{one.market_dollars / one.tasks:.{_digits(table)}f}",
            f"{one.best_dollars / one.tasks:.{_digits(table)}f}",
            f"{100 * one.market_dollars / total:.0f}",
            f"{100 * (1 - one.market_dollars / one.best_dollars):.0f}",
        )
        for one in found
    ]
    return ReportTable(
        key=f"{key}-attempts",
        title=f"{source.title}: how many agents a task took under the stated check, and where the dollars went",
        head=(
            "agents called",
            "tasks",
            "the best agent solves",
            "$/task",
            "the best agent's $/task",
            "of all dollars, %",
            "saved, %",
        ),
        rows=tuple(rows),
        note="Means over the seeds of the check.",
    )


def orders_line(stated: CheckedEntry) -> str:
    """Who tried after whom, and in what share of folds and seeds."""
    counted = Counter(stated.orders)
    total = len(stated.orders)
    parts = [f"{' → '.join(order)} ({100 * count / total:.0f} %)" for order, count in counted.most_common(8)]
    return "Orders of attempts under the stated check, by share of folds and seeds: " + "; ".join(parts) + "."


def answer_line(stated: Measured) -> str:
    """The question's answer."""
    saved = percent(stated.saved, 0)
    return (
        f"**{YES[stated.as_good and stated.halves].capitalize()}.** Under the stated check the market gains "
        f"{percent(stated.gained.difference)} points on the best single agent and saves {saved} % of its dollars."
    )


def _p_above(one: Measured) -> float:
    return 1.0 if one.above is None else one.above.p


def _digits(table: OutcomeTable) -> int:
    return 3 if table.dollars.mean() > 0.1 else 5


def _price(share: float) -> str:
    return "never" if not share > 0.0 else f"{100 * share:.0f}"


def _intervals(table: OutcomeTable) -> str:
    count = len(set(table.groups or table.ids))
    return f"95 % intervals by resampling {count} whole repositories or sources."
