"""Getting strategies out of agents: one call each, capped, and a clear reason where none comes.

What comes must be a plan. The prompt asks for steps, and the smallest models write code or an answer instead (method,
section 7 c): such a text would win on its low price alone, so its author drops out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sale.auction.entropy import strategy_entropy
from sale.auction.ledger import Ledger, Payer
from sale.auction.prompts import bid_prompt, longest_plan, refine_prompt
from sale.auction.protocols import Bidder, BidRequest, Recall
from sale.auction.text import clip, make_storable
from sale.errors import BadReplyError, SaleError
from sale.types import AuctionRules, Dropout, Pair, Prompt, Reply, Stage, Strategy, Task
from sale.types.thoughts import remove_thoughts

_STEP = re.compile(
    r"""^[^\w\n]*(?:
        [-*•][ \t]
        | \(?\d+[ \t]*[.):、．：）] | \d+[ \t]+[-–—][ \t]
        | step[ \t]+\w+ | [^\W\d_]{1,20}[ \t]*\d{1,2}[ \t]*(?:[.):][ \t]|[、．：）])
        | [^\W\d_]{1,20}[ \t]+\d{1,2}[ \t]+[-–—][ \t]
        | [a-z]\)[ \t] | [①-⑳] | 第\w{1,3}步 | \d{1,2}[ \t]*단계
    )""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
"""A line that begins a step: a mark, a number, or a word and a number, in whatever language."""
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
MAX_CODE_SHARE = 0.5
# Of the auction's time that is left: a jury that waits for the slowest bid needs time to sit, too.
BID_SHARE = 0.5


async def first_strategy(
    bidder: Bidder, task: Task, rules: AuctionRules, ledger: Ledger, seen: Strategy | None = None
) -> Strategy | Dropout:
    """Ask one agent for its first strategy. Never raises for what the agent does: it drops out instead.

    Args:
        bidder: The agent.
        task: What is auctioned.
        rules: Say how long a plan may be, and how long it may take.
        ledger: Takes the call.
        seen: What the agent bids with before it has planned: the evidence of its looks.
    """
    found = seen.evidence if seen is not None else ()
    prompt = bid_prompt(task, bidder.tools, rules.strategy_tokens, found)
    strategy = await _strategy(bidder, task, prompt, "bid", rules, ledger)
    return _with_evidence(strategy, seen)


async def refined_strategy(
    bidder: Bidder, task: Task, own: Strategy, pairs: tuple[Pair, ...], rules: AuctionRules, ledger: Ledger
) -> Strategy | Dropout:
    """Show an agent contrastive pairs and its own first strategy, and ask for a better one."""
    prompt = refine_prompt(task, bidder.tools, rules.strategy_tokens, own=own, pairs=pairs)
    return _with_evidence(await _strategy(bidder, task, prompt, "refine", rules, ledger), own)


def _with_evidence(strategy: Strategy | Dropout, seen: Strategy | None) -> Strategy | Dropout:
    if seen is None or isinstance(strategy, Dropout):
        return strategy
    return replace(strategy, evidence=seen.evidence, evidence_note=seen.evidence_note)


async def _strategy(
    bidder: Bidder, task: Task, prompt: Prompt, stage: Stage, rules: AuctionRules, ledger: Ledger
) -> Strategy | Dropout:
    request = BidRequest(task=task, prompt=prompt, max_tokens=rules.strategy_tokens, refining=stage == "refine")
    payer = Payer(stage=stage, agent=bidder.name, price=bidder.price)
    try:
        seconds = min(rules.bid_seconds, BID_SHARE * ledger.seconds_left)
        reply = await ledger.pay(payer, prompt, rules.strategy_tokens, seconds=seconds, ask=lambda: bidder.bid(request))
        return _read(bidder.name, reply, rules, refined=stage == "refine")
    except SaleError as error:
        return Dropout(agent=bidder.name, stage=stage, code=error.code, reason=error.message)


def _read(agent: str, reply: Reply, rules: AuctionRules, *, refined: bool) -> Strategy:
    """Return a reply as a strategy. Private reasoning is left out of the plan; its tokens were paid for and count."""
    whole = make_storable(remove_thoughts(reply.text).strip())
    # Whatever an agent counts as a token: nobody may flood the jury, whose prompts hold every plan.
    text = clip(whole, longest_plan(rules.strategy_tokens)).rstrip()
    fault = plan_fault(text)
    if fault is not None:
        raise BadReplyError(fault, where=agent)
    entropy = strategy_entropy(reply.logprobs) if reply.logprobs else None
    unknown = "its plan came without log-probabilities" if not reply.logprobs else "its log-probabilities are unusable"
    return Strategy(
        agent=agent,
        text=text,
        tokens=max(1, reply.usage.output_tokens),
        entropy=entropy,
        entropy_note=None if entropy else unknown,
        refined=refined,
        truncated=reply.truncated or len(text) < len(whole),
    )


def reply_fault(reply: Reply, rules: AuctionRules) -> str | None:
    """Return the reason for refusing a reply as a plan, or `None`; it is read as a bid is."""
    try:
        _read("", reply, rules, refined=False)
    except BadReplyError as error:
        return error.message
    return None


def plan_fault(text: str) -> str | None:
    """Return the reason for refusing a text as a plan, or `None`: a plan needs a step, and must not be mostly code."""
    if not text:
        return "the strategy is empty"
    prose = _CODE.sub("", text)
    if len(prose) < (1 - MAX_CODE_SHARE) * len(text):
        return "the strategy is code, not a plan"
    if not _STEP.search(prose):
        return "the strategy has no steps"
    return None


async def recall_pairs(
    memory: Recall, task: Task, agents: Sequence[str], most: int, ledger: Ledger
) -> dict[str, tuple[tuple[Pair, ...], str | None]]:
    """Return the pairs agents can learn from, or why there are none. A failed memory costs refinement only.

    Args:
        memory: The auction memory.
        task: What is auctioned.
        agents: The agents that may refine.
        most: The most pairs of each.
        ledger: Of the auction; says how long it may take.
    """
    found: Mapping[str, tuple[Pair, ...]] = {}
    fault = "nothing in memory"
    try:
        if agents:
            async with asyncio.timeout(max(0.0, ledger.seconds_left)):
                found = await memory.recall_each(task, agents, most)
    except TimeoutError:
        fault = "the auction's time was up"
    except SaleError as error:
        fault = f"{error.code}: {error.message}"
    return {
        agent: (pairs[:most], None if pairs else fault)
        for agent, pairs in ((one, found.get(one, ())) for one in agents)
    }
