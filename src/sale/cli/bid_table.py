"""The bids of an auction as a table: first what decides, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sale.auction.jury_words import list_jurors
from sale.auction.lead import measure_lead
from sale.auction.scoring import PRIOR_PLAN_TOKENS
from sale.cli.tables import UNBOUNDED, make_table
from sale.types import Auction, Bid, Score

WON, LED, REFINED = "★", "☆", "↻"
"""Marks of the bid that is awarded, of the one that led before the award, and of a refined plan."""
MEANINGS = {WON: "gets the task", LED: "led before the award", REFINED: "plan refined from memory"}
UNKNOWN = "–"
"""Columns of a terminal that any table fits in."""
JURY = "jury"
"""The one column of figures that may be continued on the next line: it grows with the jury."""

LIKE_TASKS = "like tasks: how many this agent solved, each counted by likeness"


class BidTable:
    """One table where it fits the terminal; else two, so that nothing is cut."""

    def __init__(self, auction: Auction) -> None:
        """Nothing is laid out before the width is known."""
        self._auction = auction

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        auction = self._auction
        deciding, grounds = _deciding_columns(auction), _ground_columns(auction)
        whole = _table(auction, {**deciding, **grounds})
        if console.measure(whole, options=options.update(max_width=UNBOUNDED)).maximum <= options.max_width:
            yield whole
            return
        yield _table(auction, deciding)
        yield _table(auction, grounds)


def explain_bids(auction: Auction) -> list[str]:
    """The legend: each mark and column of the table, in words."""
    shown = [_mark(bid, auction) for bid in auction.contenders] + [
        REFINED for bid in auction.contenders if bid.strategy.refined
    ]
    marks = "; ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if mark in shown)
    lines = [f"{marks}.", *_explain_money(auction), *_explain_lead(auction)]
    if auction.held:
        jurors = ", ".join(list_jurors(auction)) or "none"
        lines.append(f"price: $ per million tokens; plan: tokens; entropy: of the plan, 0 to 1; jury: {jurors}.")
        if has_records(auction):
            lines.append(f"{LIKE_TASKS}.")
    else:
        lines.append(f"price: $ per million tokens; {LIKE_TASKS}.")
    symbols = "cost is C, value is V, entropy is H" + (", chance is P̂" if has_chances(auction) else "")
    return [*lines, f"In the paper {symbols}, and the smallest C − V wins."]


def has_records(auction: Auction) -> bool:
    """Return whether past work on like tasks counts in this auction, and any agent has some."""
    counts = auction.weights.model is not None or auction.weights.track != 0.0
    return counts and any(bid.track is not None and bid.track.evidence for bid in auction.contenders)


def has_chances(auction: Auction) -> bool:
    """Return whether the weights held a success model."""
    return any(bid.chance is not None for bid in auction.contenders)


def _explain_money(auction: Auction) -> list[str]:
    unit = "in millionths of a dollar"
    model = auction.weights.model
    if model is not None and has_chances(auction):
        return [
            f"The largest net wins: value less expected cost, {unit}.",
            f"value: the chance of success × {model.worth:,.4g}, the worth of a task if solved; "
            "expected cost: of the work.",
        ]
    grounds = [
        name
        for name, counts in (
            ("jury", any(auction.weights.jurors.values())),
            ("entropy", auction.weights.entropy != 0.0),
            ("past success", auction.weights.track != 0.0),
        )
        if counts
    ]
    lines = [
        f"The largest net wins: value less cost, {unit}.",
        f"cost: of the plan, price × tokens; value: by {', '.join(grounds) or 'nothing'}, as the weights count them.",
    ]
    if not all(bid.planned for bid in auction.contenders):
        lines.append(f"cost of a bid without a plan: of one of {PRIOR_PLAN_TOKENS} tokens.")
    return lines


def _explain_lead(auction: Auction) -> list[str]:
    lead = measure_lead(auction)
    return [] if lead is None else [lead.describe(_micro)]


def _table(auction: Auction, columns: dict[str, list[str]]) -> Table:
    table = make_table("", "agent", *columns, right=columns)
    for column in table.columns[2:]:
        column.no_wrap = column.header != JURY
    cells = zip(*columns.values(), strict=True)
    for bid, own in zip(auction.contenders, cells, strict=True):
        won = bid == auction.winner
        name = f"{bid.agent} {REFINED}" if bid.strategy.refined else bid.agent
        table.add_row(_mark(bid, auction), Text(name), *own, style="bold green" if won else None)
    return table


def _deciding_columns(auction: Auction) -> dict[str, list[str]]:
    """Return the columns that decide: chance, cost, value and net, by heading."""
    bids = auction.contenders
    expected = has_chances(auction)
    columns: dict[str, list[str]] = {}
    if expected:
        columns["chance"] = [UNKNOWN if bid.chance is None else f"{bid.chance:.0%}" for bid in bids]
    columns["expected\ncost" if expected else "cost"] = [_micro(bid.cost) for bid in bids]
    columns["value"] = [_micro(bid.value) for bid in bids]
    columns["net"] = [_micro(-bid.net_cost) for bid in bids]
    return columns


def _ground_columns(auction: Auction) -> dict[str, list[str]]:
    """Return the columns that the decision rests on, by heading."""
    bids = auction.contenders
    columns = {"price": [f"{bid.price:g}" for bid in bids]}
    if not auction.held:
        return {**columns, "like tasks": [_record(bid) for bid in bids]}
    jurors = list_jurors(auction)
    plans = [
        f"{bid.strategy.tokens}{'+' if bid.strategy.truncated else ''}" if bid.planned else UNKNOWN for bid in bids
    ]
    entropies = [f"{bid.strategy.entropy.normalised:.2f}" if bid.strategy.entropy else UNKNOWN for bid in bids]
    columns |= {"plan": plans, "entropy": entropies}
    if has_records(auction):
        columns["like\ntasks"] = [_record(bid) for bid in bids]
    return {**columns, JURY: [_scores(bid, jurors) for bid in bids]}


def _mark(bid: Bid, auction: Auction) -> str:
    if bid == auction.winner:
        return WON
    return LED if not bid.strategy.refined and bid.agent == auction.provisional else ""


def _micro(value: float) -> str:
    """Micro-dollars, with as many digits as small sums need."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
    return text.replace("-", "−")


def _record(bid: Bid) -> str:
    """Return the agent's record at similar tasks."""
    track = bid.track
    return f"{track.successes:.1f} of {track.evidence:.1f}" if track is not None and track.evidence else UNKNOWN


def _scores(bid: Bid, jurors: Sequence[str]) -> str:
    by_juror = {score.juror: score for score in bid.scores}
    return " ".join(_score(by_juror.get(juror)) for juror in jurors)


def _score(score: Score | None) -> str:
    if score is None or score.abstained:
        return UNKNOWN
    if score.imputed:
        return f"({score.value:.1f})"
    return f"{score.value:.0f}" if score.value == round(score.value) else f"{score.value:.1f}"
