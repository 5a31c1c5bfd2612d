"""Before anything is spent: could this auction, at its worst, exceed its caps? Then it is not held at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sale.auction.jury import ATTEMPTS, TOKENS_AROUND, TOKENS_PER_LABEL
from sale.auction.ledger import TEMPLATE_TOKENS, TOKENS_PER_BYTE
from sale.auction.protocols import Bidder, Juror
from sale.errors import CapError, ConfigError, InputError
from sale.types import AuctionRules, Price, Task, Usage

# What the templates add around task and plans, in tokens; see tests/auction/test_fanout.py, which renders them.
PROMPT_TOKENS = 700


@dataclass(frozen=True, kw_only=True, slots=True)
class FanOut:
    """The most an auction can take."""

    calls: int
    tokens: int
    dollars: float


def fan_out(bidders: Sequence[Bidder], jurors: Sequence[Juror], task: Task, rules: AuctionRules) -> FanOut:
    """Worst case: every agent bids, every juror is asked again, all but the dearest agent refine and are re-judged."""
    refining = sorted(bidders, key=lambda bidder: bidder.price.blended)[:-1] if rules.refine else []
    plan = rules.strategy_tokens
    text = int(len(task.text.encode()) * TOKENS_PER_BYTE) + PROMPT_TOKENS + TEMPLATE_TOKENS
    calls: list[tuple[Price, Usage]] = []
    calls += [(bidder.price, Usage(input_tokens=text, output_tokens=plan)) for bidder in bidders]
    examples = rules.examples * (2 * plan + PROMPT_TOKENS)
    calls += [(bidder.price, Usage(input_tokens=text + plan + examples, output_tokens=plan)) for bidder in refining]
    for plans in (len(bidders), len(refining)):
        in_call, times = (plans, 1) if rules.jury == "panel" else (1, plans)
        usage = Usage(
            input_tokens=text + in_call * plan,
            output_tokens=TOKENS_AROUND + TOKENS_PER_LABEL * in_call,
        )
        calls += [(juror.price, usage) for juror in jurors] * (times if plans else 0) * ATTEMPTS
    return FanOut(
        calls=len(calls),
        tokens=sum(usage.total for _, usage in calls),
        dollars=sum(price.dollars(usage) for price, usage in calls),
    )


def check_fan_out(bidders: Sequence[Bidder], jurors: Sequence[Juror], task: Task, rules: AuctionRules) -> None:
    """Refuse an auction that could exceed its caps, or that makes no sense.

    Raises:
        InputError: The task is empty.
        ConfigError: The pool is empty or holds a name twice.
        CapError: The worst case is over a cap; the message has the figures.
    """
    if not task.text.strip():
        raise InputError("the task is empty", hint="Say what is to be done.")
    names = [bidder.name for bidder in bidders]
    if not names:
        raise ConfigError("the pool has no agents", hint="Name at least one under [[agents]] in sale.toml.")
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
                f"an auction of {len(names)} agents with the {rules.jury} jury could take {wanted:,.6g} {name}, "
                f"over the cap of {cap:,.6g}",
                hint=f"Use fewer agents, the panel jury or a shorter task, or raise auction.caps.{name}.",
            )
