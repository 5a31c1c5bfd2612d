"""Before anything is spent: could this auction, at its worst, exceed its caps? Then it is not held at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sale.auction.jury import ATTEMPTS, ballot_tokens
from sale.auction.labels import draw_labels
from sale.auction.ledger import worst_usage
from sale.auction.prompts import EXAMPLE_TASK_BYTES, bid_prompt, judge_prompt, longest_plan, panel_prompt, refine_prompt
from sale.auction.protocols import Bidder, Juror
from sale.errors import CapError, ConfigError, InputError
from sale.types import AuctionRules, Pair, Strategy, Task, ToolInfo, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class FanOut:
    """The most an auction can take."""

    calls: int
    tokens: int
    dollars: float


def fan_out(bidders: Sequence[Bidder], jurors: Sequence[Juror], task: Task, rules: AuctionRules) -> FanOut:
    """Worst case: every agent bids, every juror is asked again, all but the dearest agent refine and are re-judged.

    The prompts are rendered with plans of the greatest length, and reserved for as the ledger does it.
    """
    refining = sorted(bidders, key=lambda bidder: bidder.price.blended)[:-1] if rules.refine else []
    kits = {tuple(bidder.tools) for bidder in bidders}
    first = {
        tools: worst_usage(bid_prompt(task, tools, rules.strategy_tokens), rules.strategy_tokens) for tools in kits
    }
    again = {tools: _worst_refinement(tools, task, rules) for tools in kits if refining}
    calls = [(bidder.price, first[tuple(bidder.tools)]) for bidder in bidders]
    calls += [(bidder.price, again[tuple(bidder.tools)]) for bidder in refining]
    for plans in (len(bidders), len(refining)):
        judgements = _worst_judgements(plans, task, rules)
        calls += [(juror.price, usage) for juror in jurors for usage in judgements]
    return FanOut(
        calls=len(calls),
        tokens=sum(usage.total for _, usage in calls),
        dollars=sum(price.dollars(usage) for price, usage in calls),
    )


def _worst_refinement(tools: Sequence[ToolInfo], task: Task, rules: AuctionRules) -> Usage:
    plan = _longest(rules)
    own = Strategy(agent="", text=plan, tokens=0, entropy=None)
    past = "x" * EXAMPLE_TASK_BYTES
    pair = Pair(auction_id="", task=past, similarity=0.0, losing=plan, winning=plan, own="both")
    prompt = refine_prompt(task, tools, rules.strategy_tokens, own=own, pairs=[pair] * rules.examples)
    return worst_usage(prompt, rules.strategy_tokens)


def _worst_judgements(plans: int, task: Task, rules: AuctionRules) -> list[Usage]:
    """What one juror is asked about so many plans."""
    if plans == 0:
        return []
    if rules.jury == "panel":
        prompt = panel_prompt(task, dict.fromkeys(draw_labels(plans, ()), _longest(rules)))
        return [worst_usage(prompt, ballot_tokens(plans))] * ATTEMPTS
    (label,) = draw_labels(1, ())
    return [worst_usage(judge_prompt(task, _longest(rules), label=label), ballot_tokens(1))] * ATTEMPTS * plans


def _longest(rules: AuctionRules) -> str:
    return "x" * longest_plan(rules.strategy_tokens)


def check_fan_out(bidders: Sequence[Bidder], jurors: Sequence[Juror], task: Task, rules: AuctionRules) -> None:
    """Refuse an auction that could exceed its caps, or that makes no sense.

    Raises:
        InputError: The task is empty or no text.
        ConfigError: The pool is empty, or the pool or the jury holds a name twice.
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
    for names in ([bidder.name for bidder in bidders], [juror.name for juror in jurors]):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"agents share a name: {', '.join(twice)}", hint="Give each agent a name of its own.")
    worst = fan_out(bidders, jurors, task, rules)
    caps = rules.caps
    for name, wanted, cap in (
        ("calls", worst.calls, caps.calls),
        ("tokens", worst.tokens, caps.tokens),
        ("dollars", worst.dollars, caps.dollars),
    ):
        if wanted > cap:
            raise CapError(
                f"an auction of {len(bidders)} agents with the {rules.jury} jury could take {wanted:,.6g} {name}, "
                f"over the cap of {cap:,.6g}",
                hint=f"Use fewer agents, the panel jury or a shorter task, or raise auction.caps.{name}.",
            )
