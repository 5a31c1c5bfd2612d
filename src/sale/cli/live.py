"""Watching an auction: a live table in a terminal, plain lines elsewhere. On stderr: stdout is for results."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from sale.auction.events import (
    AgentDropped,
    AuctionOpened,
    Awarded,
    BiddingOpened,
    CallSettled,
    Event,
    EvidenceFound,
    Judged,
    LeaderFound,
    Observer,
    ShortlistMade,
    StrategyArrived,
    VoteArrived,
    WorkFinished,
    WorkStarted,
    ignore,
)
from sale.cli.board import money, outcome_words, plain
from sale.cli.consoles import PlainConsole
from sale.cli.tables import make_list
from sale.types import Evidence
from sale.wording import quantity


class AuctionProgress:
    """The state of an auction so far, for display."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        """Nothing has happened yet.

        Args:
            ascii_only: The spinner is to be drawn with ASCII characters.
        """
        self._states: dict[str, str] = {}
        self._votes: dict[str, list[str]] = {}
        self._stage = "starting"
        self._dollars = 0.0
        self._calls = 0
        self._began = time.monotonic()
        self._spinner = Spinner("line" if ascii_only else "dots")

    def see(self, event: Event) -> str | None:
        """Take an event in; returns a line for those who watch no table, where the event is worth one."""
        match event:
            case AuctionOpened() | BiddingOpened() | EvidenceFound() | ShortlistMade():
                return self._opening(event)
            case StrategyArrived(strategy=strategy) if not strategy.text:
                return None  # a bid of evidence alone, which has been told
            case StrategyArrived(strategy=strategy):
                what = "refined plan" if strategy.refined else "plan"
                self._states[strategy.agent] = f"{what} of {quantity(strategy.tokens, 'token')}"
                if strategy.refined:
                    self._votes[strategy.agent] = []
                return f"{strategy.agent}: {what} of {quantity(strategy.tokens, 'token')}"
            case AgentDropped(dropout=dropout):
                self._states[dropout.agent] = f"dropped out: {plain(dropout.reason)}"
                return f"{dropout.agent} dropped out ({dropout.stage}): {plain(dropout.reason)}"
            case VoteArrived(vote=vote):
                self._stage = "judging"
                shown = "–" if vote.value is None else f"{vote.value:.2g}"
                self._votes.setdefault(vote.bidder, []).append(shown)
                return f"{vote.juror} gives {vote.bidder} {shown}"
            case CallSettled(call=call):
                self._dollars += call.dollars
                self._calls += 1
                return None
            case _:
                return self._later(event)

    def _opening(self, event: AuctionOpened | BiddingOpened | EvidenceFound | ShortlistMade) -> str:
        match event:
            case AuctionOpened(auction_id=auction_id, agents=agents):
                self._states = dict.fromkeys(agents, "is considered")
                return f"auction {auction_id[:8]}: {quantity(len(agents), 'agent')}"
            case BiddingOpened(agents=agents):
                self._stage = "bidding"
                self._states |= dict.fromkeys(agents, "writing its plan …")
                return f"bidding has begun among {quantity(len(agents), 'agent')}"
            case EvidenceFound(agent=agent, evidence=evidence):
                self._states[agent] = found = _found(evidence)
                return f"{agent} {found}"
            case ShortlistMade(agents=agents):
                return f"on the shortlist: {', '.join(agents)}"

    def _later(self, event: Event) -> str | None:
        match event:
            case LeaderFound(leader=leader, refining=refining):
                self._states[leader.agent] += ", leads"
                self._stage = "refining" if refining else "awarding"
                for agent in refining:
                    self._states[agent] = "refining its plan from memory …"
                refine = f"; {', '.join(refining)} may refine" if refining else ""
                return f"{leader.agent} leads{refine}"
            case Awarded(auction=auction):
                self._stage = "awarded"
                return f"the task goes to {auction.winner.agent}"
            case WorkStarted(agent=agent):
                self._stage = "working"
                self._states[agent] = "won, and is at work …"
                return f"{agent} is at work"
            case WorkFinished(execution=execution):
                self._stage = "verifying"
                self._states[execution.agent] = f"done in {execution.seconds:.1f} s"
                return f"{execution.agent} is done in {execution.seconds:.1f} s"
            case Judged(outcome=outcome):
                self._stage = "done"
                return f"outcome: {outcome_words(outcome)}"
            case _:
                return None

    def __rich__(self) -> RenderableType:
        table = make_list()
        for agent, state in self._states.items():
            votes = " ".join(self._votes.get(agent, ()))
            table.add_row(Text(agent, style="bold"), state, Text(f"scores {votes}" if votes else "", style="cyan"))
        seconds = time.monotonic() - self._began
        status = f"{self._stage} · {seconds:.0f} s · {quantity(self._calls, 'call')} · {money(self._dollars)}"
        self._spinner.update(text=Text(status, style="dim"))
        return Group(table, self._spinner)


def _found(evidence: Sequence[Evidence]) -> str:
    """Describe what an agent's look found, in a few words."""
    if not evidence:
        return "found nothing"
    more = f" and {len(evidence) - 1} more" if len(evidence) > 1 else ""
    return f"found {plain(evidence[0].source)}{more}"


@contextmanager
def watching(*, quiet: bool = False) -> Generator[Observer]:
    """An observer for the length of a task: a live table on a terminal, lines otherwise, nothing if quiet."""
    console = PlainConsole(stderr=True)
    if quiet:
        yield ignore
        return
    progress = AuctionProgress(ascii_only=console.keeps_to_ascii)
    if not console.is_live:

        def say(line: str) -> None:
            with contextlib.suppress(BrokenPipeError):  # who reads the progress may leave; the task goes on
                console.print(line, style="dim", highlight=False, soft_wrap=True)

        yield _lines(progress, say)
        return
    with Live(progress, console=console, transient=True, refresh_per_second=8):
        yield _lines(progress, lambda _: None)


def _lines(progress: AuctionProgress, say: Callable[[str], None]) -> Observer:
    def observe(event: Event) -> None:
        line = progress.see(event)
        if line is not None:
            say(line)

    return observe
