"""The progress of a trial, and its one screen."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sale.bench.stats import Interval
from sale.bench.trial.purse import Purse
from sale.bench.trial.run import Ending
from sale.bench.trial.verdict import TrialReport, Way
from sale.cli.board import money
from sale.cli.progress import ProgressReport
from sale.cli.tables import make_table
from sale.wording import quantity

ENDINGS: dict[Ending, str] = {
    "clear": "It stopped early: which agent is as good as the others is clear.",
    "cap": "It stopped at its cap: another task could have gone beyond.",
    "done": "All tasks were done.",
}
STYLES = {"as good": "green", "worse": "red", "not clear": "yellow"}


@contextmanager
def show_trial_progress(purse: Purse, total: int, *, quiet: bool) -> Generator[Callable[[int], None]]:
    """Show tasks done, time left at most and dollars so far, on standard error; gives back who is told of the tasks.

    Args:
        purse: What is spent.
        total: How many tasks there are.
        quiet: Show nothing.
    """
    with ProgressReport(quiet=quiet) as report:
        row = report.row("trial", total=total, unit="task")

        def see(done: int) -> None:
            row.update(done, note=f"{money(purse.spent)} of {money(purse.cap)}")

        see(0)
        yield see


def screen(report: TrialReport, *, ended: Ending, of: int, spent: float, cap: float) -> Group:
    """All that a user needs to decide."""
    head = f"{report.tasks} of {quantity(of, 'task')}, {money(spent)} of {money(cap)} spent. {ENDINGS[ended]}"
    return Group(Text(head), ways_table(report), *[Text(line) for line in answer_lines(report)])


def ways_table(report: TrialReport) -> Table:
    """Return a row for each way to have the tasks done."""
    figures = ("solved", "$ a task", "cost")
    table = make_table("who does the tasks", *figures, "against the best agent", right=figures)
    section = "agent"
    for way in report.ways:
        if way.kind != section:
            table.add_section()
            section = way.kind
        low, high = way.difference
        against = "best single agent" if way.name == report.best else f"{way.standing} ({low:+.0%} to {high:+.0%})"
        style = "bold" if way.name == report.recommended.name else ""
        table.add_row(
            Text(way.name, style=style),
            show_share_solved(way.success),
            money(way.dollars.value),
            f"{way.share:.0%}",
            Text(against, style=STYLES[way.standing]),
        )
    return table


def show_share_solved(found: Interval) -> str:
    """Return a share with its interval, in percent."""
    if found.low is None or found.high is None:
        return f"{found.value:.0%}"
    return f"{found.value:.0%} ({found.low:.0%}–{found.high:.0%})"


def answer_lines(report: TrialReport) -> list[str]:
    """Return the answer in sentences."""
    best = next(way for way in report.ways if way.name == report.best)
    chosen = report.recommended
    lines = [
        f"Best single agent: {report.best}, {best.success.value:.0%} solved at {money(best.dollars.value)} a task."
    ]
    if report.cheapest is not None:
        lines.append(f"Cheapest agent that is as good: {report.cheapest}.")
    else:
        lines.append(f"No cheaper agent is clearly as good (within {report.margin:.0%} of the tasks).")
    lines.append(_saving(chosen, report))
    unclear = [way for way in report.ways if way.more_tasks is not None and way.dollars.value < chosen.dollars.value]
    if unclear:
        promising = min(unclear, key=lambda way: way.more_tasks or 0)
        lines.append(
            f"More tasks would tell: about {promising.more_tasks} more whether {promising.name} is as good, "
            f"at {promising.share:.0%} of the cost."
        )
    return [*lines, *report.notes]


def _saving(chosen: Way, report: TrialReport) -> str:
    if chosen.name == report.best:
        return f"Recommended: {chosen.name} alone. A market is not shown to pay on these tasks."
    what = f"{chosen.name} alone" if chosen.kind == "agent" else chosen.name
    return f"Recommended: {what}. As good as {report.best}, for {chosen.share:.0%} of what it costs."
