"""The auction board: who bid what, who judged it how, what it costs, and why the winner won."""

from __future__ import annotations

import math
from collections import Counter

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

from sale.auction.jury_words import describe_jury, list_jurors
from sale.auction.value_of_information import explain_not_held, measure_benefit
from sale.cli.bid_table import BidTable, explain_bids, has_chances
from sale.cli.tables import make_list
from sale.cli.typography import without_controls
from sale.types import Attempt, Auction, Outcome, Result
from sale.wording import quantity

VERDICT_STYLE = {"success": "bold green", "failure": "bold red", "unknown": "yellow"}
NOT_CHECKED = "not checked"
"""The outcome of an answer that nothing has checked."""
TASK_LENGTH = 400
QUOTE_LENGTH = 160
TOLERANCE = 5e-10
READS = (
    'a juror reads what agents found when they looked (look = 1), unless its [[jurors]] table says reads = "plan" or '
    '"bid".'
)


def money(dollars: float) -> str:
    """Dollars, with as many digits as small sums need: two that count, never a power of ten."""
    if abs(dollars) < TOLERANCE:
        return "$0"
    if abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${dollars:.{1 - math.floor(math.log10(abs(dollars)))}f}".rstrip("0").rstrip(".")


def plain(text: str) -> str:
    """Text of a model without control characters, so that it cannot drive the reader's terminal."""
    return without_controls(text)


def clip(text: str, length: int = TASK_LENGTH) -> str:
    """The beginning of a text."""
    text = text.strip()
    return text if len(text) <= length else f"{text[:length].rstrip()} …"


def auction_board(auction: Auction) -> RenderableType:
    """The whole auction as a table with its notes."""
    parts: list[RenderableType] = [_heading(auction), BidTable(auction)]
    parts += [Padding(Text(plain(line), style="dim"), (0, 0, 0, 2), expand=False) for line in _notes(auction)]
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
    table = make_list()
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
    return Text.assemble(("Outcome  ", "bold"), (outcome_words(outcome), style), detail)


def outcome_words(outcome: Outcome) -> str:
    """`success, by tests`, or `not checked` where nothing has checked the answer."""
    return NOT_CHECKED if outcome.judged_by == "nobody" else f"{outcome.verdict}, by {outcome.judged_by}"


def money_part(result: Result) -> RenderableType:
    """Return the table of the cost, against always using the largest agent."""
    settlement, largest = result.settlement, result.always_largest
    table = make_list(bold_first=True)
    table.add_column(justify="right")
    table.add_column(style="dim")
    overhead = settlement.overhead
    share = f"{overhead:.0%} of the total" if overhead is not None else "nothing was spent"
    table.add_row(
        "Auction",
        money(settlement.auction_dollars),
        f"{share}, {quantity(len(result.auction.settlement.calls), 'call')}",
    )
    table.add_row("Work", money(settlement.work_dollars), f"{quantity(settlement.usage.total, 'token')} in all")
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
    return describe_jury(auction) + ("" if any(bid.planned for bid in auction.bids) else ", bids without plans")


def _notes(auction: Auction) -> list[str]:
    dropped = [f"{drop.agent} dropped out ({drop.stage}): {drop.reason}" for drop in auction.dropouts]
    if not auction.held and not has_chances(auction):
        asked = "made" if dropped else "was asked for"
        return [
            *_drawn(auction),
            f"No agent {asked} a bid. {auction.winner.agent} was given the task.",
            *dropped,
            "How much auctions may take of the money: auction.allowance in sale.toml.",
        ]
    lines = [*explain_bids(auction), *(_drawn(auction) or _sequence(auction))]
    if not auction.held:
        why = explain_not_held(auction)
        return [*lines, f"No auction was held, {why}: the award was made on track records.", *dropped]
    if (found := measure_benefit(auction)) is not None:
        lines.append(found.describe(money))
    return [*lines, *dropped, *_bid_notes(auction), *_jury_notes(auction), *_refinement_notes(auction)]


def _bid_notes(auction: Auction) -> list[str]:
    noted: dict[str, dict[str, None]] = {}
    for bid in auction.contenders:
        for note in bid.notes:
            noted.setdefault(note, {})[bid.agent] = None
    lines = [f"{', '.join(agents)}: {note}" for note, agents in noted.items()]
    for bid in auction.contenders:
        if bid.strategy.evidence_note:
            lines.append(f"{bid.agent} could not look: {bid.strategy.evidence_note}")
        if bid.strategy.truncated:
            lines.append(f"{bid.agent}: its plan was cut at the token cap (+)")
    return lines


def _jury_notes(auction: Auction) -> list[str]:
    lines: list[str] = []
    silent = {s.juror: s.value for bid in auction.contenders for s in bid.scores if s.abstained}
    if silent and not has_chances(auction):
        middles = ", ".join(f"{value:g} points of {juror}" for juror, value in silent.items())
        lines.append(f"–: a juror had nothing to read there. It counts as {middles}, neither for nor against.")
    lines += [f"{juror} had nothing to read in any bid: {READS}" for juror in _idle(auction)]
    missing = {s.juror: s.note for bid in auction.contenders for s in bid.scores if s.imputed and not s.abstained}
    return lines + [
        f"{juror} gave no score: {note}. What counts instead is in brackets: the mean of the other jurors, or the "
        "middle of the scale."
        for juror, note in missing.items()
    ]


def _idle(auction: Auction) -> list[str]:
    """Return the jurors that had nothing to read in all bids."""
    scores = [score for bid in auction.contenders for score in bid.scores]
    read = {score.juror for score in scores if not score.abstained}
    return [juror for juror in list_jurors(auction) if juror not in read]


def _refinement_notes(auction: Auction) -> list[str]:
    if auction.refinements:
        return [_refinement(auction, one.agent, len(one.pairs), one.note) for one in auction.refinements]
    return ["No cheaper agent could refine its bid."] if any(bid.planned for bid in auction.bids) else []


def _sequence(auction: Auction) -> list[str]:
    """That a bid won which is not the best by itself."""
    best = min(auction.contenders, key=lambda bid: bid.net_cost)
    if not has_chances(auction) or best.agent == auction.winner.agent:
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
    return f"{agent} refined its bid from {quantity(pairs, 'past auction')}{failed}{won}."
