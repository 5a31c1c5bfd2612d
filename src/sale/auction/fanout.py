"""Before anything is spent: could this auction, at its worst, exceed its caps? Then it is not held at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sale.auction.jury import convene
from sale.auction.ledger import worst_usage
from sale.auction.looking import longest_evidence, looker_of
from sale.auction.prompts import (
    EXAMPLE_TASK_BYTES,
    bid_prompt,
    longest_plan,
    refine_prompt,
)
from sale.auction.protocols import Bidder, Juror
from sale.auction.questions import Seat
from sale.auction.text import REMEMBERED
from sale.errors import CapError, ConfigError, InputError
from sale.types import AuctionRules, Caps, Evidence, Pair, Price, Strategy, Task, ToolInfo, Usage
from sale.wording import quantity

Tools = tuple[ToolInfo, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FanOut:
    """The most an auction can take."""

    calls: int
    """Of models; looks, and jurors that cost nothing, are none."""
    tokens: int
    dollars: float

    def fits(self, caps: Caps) -> bool:
        """Return whether no cap can be exceeded."""
        return self.find_excess(caps) is None

    def find_excess(self, caps: Caps) -> tuple[str, float, float] | None:
        """Return the first cap that could be exceeded: its quantity, the most there can be of it, and the cap."""
        pairs = (
            ("calls", self.calls, caps.calls),
            ("tokens", self.tokens, caps.tokens),
            ("dollars", self.dollars, caps.dollars),
        )
        return next(((name, most, cap) for name, most, cap in pairs if most > cap), None)


def fan_out(
    bidders: Sequence[Bidder],
    jurors: Sequence[Juror],
    task: Task,
    rules: AuctionRules,
    seats: Sequence[Seat] = (),
    *,
    remembers: bool = True,
) -> FanOut:
    """Worst case: every agent looks and bids, every juror is asked again, all but the dearest refine and are re-judged.

    With a shortlist as many agents write plans as it holds, and those that could take most. The prompts are rendered
    with plans and evidence of the greatest length; juries, and jurors that know better, say what they can take.
    Without a memory (`remembers`) there is nothing to refine bids by.
    """
    lookers = [looker for bidder in bidders if (looker := looker_of(bidder)) is not None]
    seen = longest_evidence() if lookers else ()
    writing = min(len(bidders), rules.shortlist or len(bidders))
    refining = remembers and rules.refine and rules.plans
    cheaper = sorted(bidders, key=lambda bidder: bidder.price.blended)[:-1] if refining else []
    asks = _WorstCalls()
    longest = _longest(rules, seen)
    tokens, examples = rules.strategy_tokens, rules.examples
    asks.add([(one.price, _worst_bid(task, *_shown(one), tokens)) for one in bidders if rules.plans], most=writing)
    refined = [(one.price, _worst_refinement(task, tuple(one.tools), longest, examples, tokens)) for one in cheaper]
    asks.add(refined, most=writing)
    jury = convene(rules.jury, jurors)
    for plans in (writing, min(writing, len(cheaper))):
        asks.add(jury.bounds(task, plans, longest))
    for seat in seats:
        times = len(bidders) if seat.early else writing
        times += 0 if seat.reads == "evidence" else min(writing, len(cheaper))
        asks.add([seat.bound(task, longest)] * times, models=not seat.free)
    return FanOut(
        calls=asks.calls,
        tokens=asks.tokens,
        dollars=asks.dollars + sum(looker.look_dollars for looker in lookers),
    )


@dataclass(slots=True)
class _WorstCalls:
    """Calls that could be made, added up."""

    calls: int = 0
    tokens: int = 0
    dollars: float = 0.0

    def add(self, asked: Sequence[tuple[Price, Usage]], most: int | None = None, *, models: bool = True) -> None:
        """Add calls; where no more than `most` of them are made, those that could take most."""
        count = len(asked) if most is None else min(most, len(asked))
        self.calls += count if models else 0
        self.tokens += sum(sorted((usage.total for _, usage in asked), reverse=True)[:count])
        self.dollars += sum(sorted((price.dollars(usage) for price, usage in asked), reverse=True)[:count])


def _shown(bidder: Bidder) -> tuple[Tools, tuple[Evidence, ...]]:
    """Return what tells the first prompts of a task apart."""
    return tuple(bidder.tools), longest_evidence() if looker_of(bidder) is not None else ()


@lru_cache(REMEMBERED)
def _worst_bid(task: Task, tools: Tools, found: tuple[Evidence, ...], most: int) -> Usage:
    """Return the most that a first bid of `most` tokens takes. A prompt that several agents share is rendered once."""
    return worst_usage(bid_prompt(task, tools, most, found), most)


@lru_cache(REMEMBERED)
def _worst_refinement(task: Task, tools: Tools, own: Strategy, examples: int, most: int) -> Usage:
    """Return the most that a refined bid takes, where an agent's first bid is `own`; as for first bids."""
    past = "x" * EXAMPLE_TASK_BYTES
    pair = Pair(auction_id="", task=past, similarity=0.0, losing=own.text, winning=own.text, own="both")
    return worst_usage(refine_prompt(task, tools, most, own=own, pairs=[pair] * examples), most)


def _longest(rules: AuctionRules, seen: Sequence[Evidence]) -> Strategy:
    """The longest bid there can be."""
    plan = "x" * longest_plan(rules.strategy_tokens) if rules.plans else ""
    return Strategy(agent="", text=plan, tokens=0, entropy=None, evidence=tuple(seen))


def check_fan_out(
    bidders: Sequence[Bidder],
    jurors: Sequence[Juror],
    task: Task,
    rules: AuctionRules,
    seats: Sequence[Seat] = (),
    *,
    remembers: bool = True,
    capped: bool = True,
) -> FanOut:
    """Return the most an auction can take; refuse one that could exceed its caps, or that makes no sense.

    Args:
        bidders: The pool.
        jurors: That score by the rubric.
        task: What is auctioned.
        rules: Have the caps.
        seats: Jurors that answer a question about each bid.
        remembers: Whether there is a memory.
        capped: Whether one that could exceed its caps is refused.

    Raises:
        InputError: The task is empty or no text.
        ConfigError: The pool is empty, the pool or the jury holds a name twice, or a juror says of itself that it takes
            what cannot be.
        CapError: The worst case is over a cap; the message has the figures.
    """
    if not task.text.strip():
        raise InputError("the task is empty", hint="Say what is to be done.")
    try:
        task.text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the task is not valid text: {error.reason} at {error.start}", hint="Use UTF-8.") from None
    if not bidders:
        raise ConfigError("the pool has no agents", hint="Name at least one under [[agents]] in sale.toml.")
    for names in ([bidder.name for bidder in bidders], [juror.name for juror in (*jurors, *seats)]):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"agents share a name: {', '.join(twice)}", hint="Give each agent a name of its own.")
    worst = fan_out(bidders, jurors, task, rules, seats, remembers=remembers)
    if capped and (excess := worst.find_excess(rules.caps)) is not None:
        name, most, cap = excess
        raise CapError(
            f"an auction of {quantity(len(bidders), 'agent')} with the {rules.jury} jury could take "
            f"{most:,.6g} {name}, over the cap of {cap:,.6g}",
            hint=f"Use fewer agents, the panel jury or a shorter task, or raise auction.caps.{name}.",
        )
    return worst
