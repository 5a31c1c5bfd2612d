"""The one screen of a trial over past work."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sale.bench.trial.past import PastReport
from sale.bench.trial.traffic import TrafficReport, TrafficWay
from sale.bench.trial.verdict import Way
from sale.cli.board import money, plain
from sale.cli.tables import make_table
from sale.cli.trial_screen import STYLES, answer_lines, show_share_solved, ways_table
from sale.wording import quantity

ASSUMPTION = (
    "Estimated from tasks with alike texts: it holds if, among these, it was not the harder ones that went to the "
    "better agents."
)
SPENDING = (
    "The market holds no auction here, as there are no plans on record. `As the best agent`: as little as solves as "
    "many tasks as that one; `spending 75%`: told to spend that much of what was paid."
)
BOUNDS = "`for certain` needs no such assumption: as if all that was not really done so failed, or succeeded."


def past_screen(report: PastReport) -> Group:
    """All that a user needs to decide."""
    when = ""
    if report.since is not None and report.until is not None:
        when = f", {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"
    head = f"{quantity(report.works, 'past work')}{when}. Nothing was called, and nothing spent."
    notes = [Text(plain(line)) for line in report.notes]
    if report.evaluation is not None:
        found = report.evaluation
        kind = f"Every agent did {quantity(found.tasks, 'task')}: what each makes of them is known."
        lines = [Text(plain(line)) for line in answer_lines(found)]
        return Group(Text(f"{head} {kind}"), ways_table(found), *notes, *lines)
    if report.traffic is None:
        raise ValueError("a report is either of an evaluation or of traffic")
    kind = f"{quantity(report.traffic.tasks, 'task')}, each done by one agent."
    return Group(Text(f"{head} {kind}"), _table(report.traffic), *notes, *[Text(line) for line in _answer(report)])


def _table(report: TrafficReport) -> Table:
    figures = ("solved", "for certain", "$ a task", "cost", "done so")
    table = make_table("who does the tasks", *figures, "against what was done", right=figures)
    before = report.before
    table.add_row(before.name, show_share_solved(before.success), "", money(before.dollars.value), "100%", "", "")
    section = None
    for one in report.ways:
        if one.way.kind != section:
            table.add_section()
            section = one.way.kind
        table.add_row(*_cells(one, bold=one is report.recommended))
    return table


def _cells(one: TrafficWay, *, bold: bool) -> tuple[Text, ...]:
    way, (least, most) = one.way, one.bounds
    low, high = way.difference
    return (
        Text(way.name, style="bold" if bold else ""),
        Text(show_share_solved(way.success)),
        Text(f"{least:.0%}–{most:.0%}"),
        Text(money(way.dollars.value)),
        Text(f"{way.share:.0%}"),
        Text(f"{one.known:.0%}"),
        Text(f"{way.standing} ({100 * low:+.0f} to {high:+.0%})", style=STYLES[way.standing]),
    )


def _answer(report: PastReport) -> list[str]:
    found = report.traffic
    if found is None:
        return []
    before, chosen = found.before, found.recommended
    lines = [SPENDING, ASSUMPTION, BOUNDS, *found.notes]
    paid = f"What was done solved {before.success.value:.0%} at {money(before.dollars.value)} a task."
    if chosen is None:
        return [*lines, f"{paid} Nothing cheaper is shown to be as good (within {found.margin:.0%} of the tasks)."]
    return [
        *lines,
        f"{paid} {_saving(chosen.way)}",
        "To be sure before you switch: `sale trial`, or shadow mode.",
    ]


def _saving(way: Way) -> str:
    what = f"{way.name} alone" if way.kind == "agent" else way.name
    return f"Estimated: {what} is as good, for {way.share:.0%} of it ({money(way.dollars.value)} a task)."
