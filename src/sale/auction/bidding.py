"""Getting strategies out of agents: one call each, capped, and a clear reason where none comes.

What comes must be a plan. The prompt asks for steps, and the smallest models write code or an answer instead (method,
section 7 c): such a text would win on its low price alone, so its author drops out.
"""

from __future__ import annotations

import re

from sale.auction.entropy import strategy_entropy
from sale.auction.ledger import Ledger, Payer
from sale.auction.prompts import bid_prompt, refine_prompt
from sale.auction.protocols import Bidder, BidRequest
from sale.errors import BadReplyError, CallError, CapError
from sale.types import AuctionRules, Dropout, Pair, Prompt, Reply, Stage, Strategy, Task

_STEP = re.compile(r"^\W*(?:[-*•]\s|\(?\d+\s*[.):]|step\s+\w+)", re.IGNORECASE | re.MULTILINE)
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
MOST_CODE = 0.5
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)


async def first_strategy(bidder: Bidder, task: Task, rules: AuctionRules, ledger: Ledger) -> Strategy | Dropout:
    """Ask one agent for its first strategy. Never raises for what the agent does: it drops out instead."""
    prompt = bid_prompt(task, bidder.tools, rules.strategy_tokens)
    return await _strategy(bidder, task, prompt, "bid", rules, ledger)


async def refined_strategy(
    bidder: Bidder, task: Task, own: Strategy, pairs: tuple[Pair, ...], rules: AuctionRules, ledger: Ledger
) -> Strategy | Dropout:
    """Show an agent contrastive pairs and its own first strategy, and ask for a better one."""
    prompt = refine_prompt(task, bidder.tools, rules.strategy_tokens, own=own, pairs=pairs)
    return await _strategy(bidder, task, prompt, "refine", rules, ledger)


async def _strategy(
    bidder: Bidder, task: Task, prompt: Prompt, stage: Stage, rules: AuctionRules, ledger: Ledger
) -> Strategy | Dropout:
    request = BidRequest(task=task, prompt=prompt, max_tokens=rules.strategy_tokens, refining=stage == "refine")
    payer = Payer(stage=stage, agent=bidder.name, price=bidder.price)
    try:
        reply = await ledger.pay(
            payer, prompt, rules.strategy_tokens, seconds=rules.bid_seconds, ask=lambda: bidder.bid(request)
        )
        return _read(bidder.name, reply, refined=stage == "refine")
    except (CallError, CapError) as error:
        return Dropout(agent=bidder.name, stage=stage, code=error.code, reason=error.message)


def _read(agent: str, reply: Reply, *, refined: bool) -> Strategy:
    """A reply as a strategy. Private reasoning is no part of the plan, but its tokens were paid for and count."""
    text = _THINKING.sub("", reply.text).strip()
    fault = plan_fault(text)
    if fault is not None:
        raise BadReplyError(fault, where=agent)
    entropy = strategy_entropy(reply.logprobs) if reply.logprobs else None
    return Strategy(
        agent=agent,
        text=text,
        tokens=max(1, reply.usage.output_tokens),
        entropy=entropy,
        entropy_note=None if entropy else "the endpoint gives no log-probabilities",
        refined=refined,
        truncated=reply.truncated,
    )


def plan_fault(text: str) -> str | None:
    """Why a text is no plan, or `None` if it is one: it needs a step, and must not be mostly code."""
    if not text:
        return "the strategy is empty"
    prose = _CODE.sub("", text)
    if len(prose) < (1 - MOST_CODE) * len(text):
        return "the strategy is code, not a plan"
    if not _STEP.search(prose):
        return "the strategy has no steps"
    return None
