"""The auction board: who bid what, who judged it how, what it costs, and why the winner won."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sale.auction.value_of_information import explain_not_held, measure_benefit
from sale.types import Attempt, Auction, Bid, Outcome, Result, Score

VERDICT_STYLE = {"success": "bold green", "failure": "bold red", "unknown": "yellow"}
TASK_LENGTH = 400
QUOTE_LENGTH = 160
TOLERANCE = 5e-10
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def money(dollars: float) -> str:
    """Dollars, with as many digits as small sums need."""
    if abs(dollars) < TOLERANCE:
        return "$0"
    return f"${dollars:,.2f}" if abs(dollars) >= 1 else f"${dollars:.2g}" if abs(dollars) >= 1e-4 else f"${dollars:.2e}"


def plain(text: str) -> str:
    """Text of a model without control characters, so that it cannot drive the reader's terminal."""
    return _CONTROL.sub("�", text)


def clip(text: str, length: int = TASK_LENGTH) -> str:
    """The beginning of a text."""
    text = text.strip()
    return text if len(text) <= length else f"{text[:length].rstrip()} …"


def auction_board(auction: Auction) -> RenderableType:
    """The whole auction as a table with its notes."""
    parts: list[RenderableType] = [_heading(auction), _table(auction)]
    parts += [Text(f"  {plain(line)}", style="dim") for line in _notes(auction)]
    parts += _evidence_parts(auction)
    if not auction.winner.planned:
        return Group(*parts)
    parts += [Text(), Text(f"Plan of {auction.winner.agent}", style="bold")]
    parts.append(Padding(Text(plain(auction.winner.strategy.text)), (0, 0, 0, 2)))
    return Group(*parts)


def _evidence_parts(auction: Auction) -> list[RenderableType]:
    """Return the evidence each agent found before it bid, the winner's first."""
    seen = sorted((bid for bid in auction.bids if bid.strategy.evidence), key=lambda bid: bid != auction.winner)
    if not seen:
        return []
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for bid in seen:
        first = bid.strategy.evidence[0]
        quote = plain(clip(first.quote.replace("\n", " "), QUOTE_LENGTH))
        style = "bold green" if bid.agent == auction.winner.agent else None
        table.add_row(Text(f"  {bid.agent}", style=style or ""), Text(f"{plain(first.source)}: {quote}"))
    return [Text(), Text("What each agent found before it bid", style="bold"), table]


def result_board(result: Result) -> RenderableType:
    """The auction, the answer, the outcome and the money."""
    earlier = [failed_attempt(attempt) for attempt in result.attempts]
    return Group(auction_board(result.auction), Text(), *earlier, answer_part(result), Text(), money_part(result))


def failed_attempt(attempt: Attempt) -> Text:
    """One line for work that failed, after which the task went on."""
    detail = plain(clip(attempt.outcome.detail.replace("\n", " "), 100))
    reason = f", {attempt.outcome.judged_by}{f': {detail}' if detail else ''}"
    return Text(f"{attempt.execution.agent} tried and failed{reason}; the next best bid was awarded.", style="red")


def answer_part(result: Result) -> RenderableType:
    """The winner's answer, and whether it is right."""
    execution = result.execution
    followed = "following its plan" if execution.followed_strategy else "without its plan"
    heading = Text.assemble(
        (f"Answer of {execution.agent}", "bold"), (f" ({execution.mode}, {followed}, {execution.seconds:.1f} s)", "dim")
    )
    parts: list[RenderableType] = [heading]
    if execution.answer.strip():
        parts.append(Padding(Markdown(plain(execution.answer)), (0, 0, 0, 2)))
    if execution.error:
        parts.append(Text(f"  {plain(execution.error)}", style="red"))
    parts += [Text(), outcome_line(result.outcome)]
    return Group(*parts)


def outcome_line(outcome: Outcome) -> Text:
    """`Outcome: success, by tests`."""
    detail = f": {plain(outcome.detail)}" if outcome.detail else ""
    style = VERDICT_STYLE[outcome.verdict]
    return Text.assemble(("Outcome  ", "bold"), (outcome.verdict, style), f", by {outcome.judged_by}{detail}")


def money_part(result: Result) -> RenderableType:
    """Return the table of the cost, against always using the largest agent."""
    settlement, largest = result.settlement, result.always_largest
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    overhead = settlement.overhead
    share = f"{overhead:.0%} of the total" if overhead is not None else "nothing was spent"
    table.add_row(
        "Auction", money(settlement.auction_dollars), f"{share}, {len(result.auction.settlement.calls)} calls"
    )
    table.add_row("Work", money(settlement.work_dollars), f"{settlement.usage.total:,} tokens in all")
    if settlement.tool_dollars > 0:
        table.add_row("  of it tools", money(settlement.tool_dollars), _tools_used(result))
    table.add_row("Total", money(settlement.dollars), f"{result.seconds:.1f} s")
    table.add_row(f"Always {largest.agent}", money(largest.dollars), f"no auction; {largest.basis}")
    word, style = ("Saved", "green") if result.saved >= 0 else ("Lost", "red")
    table.add_row(
        Text(word, style=style), Text(money(abs(result.saved)), style=style), f"auction {result.auction.id[:8]}"
    )
    return table


def _tools_used(result: Result) -> str:
    """Which tools were called how often."""
    used = Counter(call.tool for call in result.settlement.calls if call.tool)
    return ", ".join(f"{plain(tool)} {count} ×" for tool, count in used.items())


def _heading(auction: Auction) -> Text:
    return Text.assemble(
        ("Auction ", "bold"),
        (auction.id[:8], "bold cyan"),
        (f" · {_how(auction)} · weights: {auction.weights.source} · {auction.seconds:.1f} s", "dim"),
    )


def _how(auction: Auction) -> str:
    if (reason := explain_not_held(auction)) is not None:
        return f"no auction, {reason}"
    return f"{auction.jury} jury" if any(bid.planned for bid in auction.bids) else "bids without plans"


def _table(auction: Auction) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    table.add_column("agent", overflow="ellipsis", no_wrap=True)
    told = ("plan", "H", "jury") if auction.held else ("like tasks",)
    chances = ("P̂",) if _has_chances(auction) else ()
    for heading in ("$/Mtok", *told, *chances, "C", "V", "C − V"):
        table.add_column(heading, justify="right", no_wrap=True)
    for bid in auction.contenders:
        won = bid == auction.winner
        table.add_row(*_row(bid, auction, _mark(bid, auction, won=won)), style="bold green" if won else None)
    return table


def _has_chances(auction: Auction) -> bool:
    """Return whether the weights held a success model."""
    return any(bid.chance is not None for bid in auction.contenders)


def _jurors(auction: Auction) -> list[str]:
    """Return the jurors that gave or owed a score, in the order the board shows them."""
    return list(dict.fromkeys(score.juror for bid in auction.bids for score in bid.scores))


def _mark(bid: Bid, auction: Auction, *, won: bool) -> str:
    if won:
        return "★"
    return "☆" if not bid.strategy.refined and bid.agent == auction.provisional else ""


def _row(bid: Bid, auction: Auction, mark: str) -> list[str]:
    return [
        mark,
        f"{bid.agent} ↻" if bid.strategy.refined else bid.agent,
        f"{bid.price:g}",
        *(_told(bid, _jurors(auction)) if auction.held else (_record(bid),)),
        *(() if bid.chance is None else (f"{bid.chance:.0%}",)),
        f"{bid.cost:.2f}",
        f"{bid.value:.2f}",
        f"{bid.net_cost:.2f}",
    ]


def _told(bid: Bid, jurors: Sequence[str]) -> tuple[str, str, str]:
    """Return the cells of a plan and its scores."""
    strategy = bid.strategy
    by_juror = {score.juror: score for score in bid.scores}
    return (
        f"{strategy.tokens}{'+' if strategy.truncated else ''}" if bid.planned else "–",
        f"{strategy.entropy.normalised:.2f}" if strategy.entropy else "–",
        " ".join(_score(by_juror.get(juror)) for juror in jurors),
    )


def _record(bid: Bid) -> str:
    """Return the agent's record at similar tasks."""
    track = bid.track
    return f"{track.successes:.1f} of {track.evidence:.1f}" if track is not None and track.evidence else "–"


def _score(score: Score | None) -> str:
    if score is None or score.abstained:
        return "–"
    if score.imputed:
        return f"({score.value:.1f})"
    return f"{score.value:.0f}" if score.value == round(score.value) else f"{score.value:.1f}"


def _notes(auction: Auction) -> list[str]:
    if not auction.held and not _has_chances(auction):
        return [
            *_drawn(auction),
            f"Nobody was asked for a bid. {auction.winner.agent} was given the task.",
            "How much auctions may take of the money: auction.allowance in sale.toml.",
        ]
    marks = "☆ provisional winner, ↻ refined" if auction.held else "☆ the best by itself"
    lines = [f"★ winner, {marks}; the smallest C − V wins (micro-dollars)."]
    if _has_chances(auction):
        lines.append("P̂: chance of success; C: what the work is expected to cost; V: worth of a solved task × P̂.")
    lines += _drawn(auction) or _sequence(auction)
    if not auction.held:
        return [
            *lines,
            "like tasks: how many this agent solved, each counted as much as it is like this one.",
            f"No auction was held, {explain_not_held(auction)}: the award was made on track records.",
        ]
    if (found := measure_benefit(auction)) is not None:
        lines.append(found.describe(money))
    lines.append(f"plan: tokens; H: entropy; jury: {', '.join(_jurors(auction)) or 'none'}.")
    lines += [f"{drop.agent} dropped out ({drop.stage}): {drop.reason}" for drop in auction.dropouts]
    for bid in auction.contenders:
        lines += [f"{bid.agent}: {note}" for note in bid.notes]
        if bid.strategy.evidence_note:
            lines.append(f"{bid.agent} could not look: {bid.strategy.evidence_note}")
        if bid.strategy.truncated:
            lines.append(f"{bid.agent}: its plan was cut at the token cap (+)")
    silent = {s.juror: s.value for bid in auction.contenders for s in bid.scores if s.abstained}
    if silent and not _has_chances(auction):
        middles = ", ".join(f"{value:g} points of {juror}" for juror, value in silent.items())
        lines.append(f"–: a juror had nothing to read there. It counts as {middles}, neither for nor against.")
    missing = {s.juror: s.note for bid in auction.contenders for s in bid.scores if s.imputed and not s.abstained}
    lines += [
        f"{juror} gave no score; the others' mean stands in (brackets): {note}" for juror, note in missing.items()
    ]
    lines += [_refinement(auction, one.agent, len(one.pairs), one.note) for one in auction.refinements]
    if not auction.refinements and any(bid.planned for bid in auction.bids):
        lines.append("No cheaper agent could refine its bid.")
    return lines


def _sequence(auction: Auction) -> list[str]:
    """That a bid won which is not the best by itself."""
    best = min(auction.contenders, key=lambda bid: bid.net_cost)
    if not _has_chances(auction) or best.agent == auction.winner.agent:
        return []
    return [f"{auction.winner.agent} tries first: work is checked here, and where it fails {best.agent} can follow."]


def _drawn(auction: Auction) -> list[str]:
    """That the award explored, and what that is expected to cost."""
    drawn = auction.exploration
    if drawn is None:
        return []
    chances = drawn.propensities.get(auction.winner.agent, 0.0)
    whom = "" if auction.winner.agent == drawn.best else f" instead of {drawn.best}"
    extra, lost = drawn.extra_dollars, drawn.lost_success
    price = f"{money(extra)} more" if extra >= 0 else f"{money(-extra)} less"
    success = "" if lost is None else f", {abs(lost):.1%} {'less' if lost >= 0 else 'more'} success"
    return [
        f"Awards explore: {auction.winner.agent} was drawn{whom} with probability {chances:.0%}; "
        f"drawing is expected to cost {price} a task{success}."
    ]


def _refinement(auction: Auction, agent: str, pairs: int, note: str | None) -> str:
    if not pairs:
        return f"{agent} may refine but has {note}."
    failed = f", and failed: {note}" if note else ""
    won = " and won the task" if auction.flipped and auction.winner.agent == agent else ""
    return f"{agent} refined its bid from {pairs} past auction{'s' if pairs > 1 else ''}{failed}{won}."
