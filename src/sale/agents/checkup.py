"""One tiny call to an agent, and what it shows: is it there, and does it give the auction what the auction can use?

With the rules of a market it is also asked for a plan of a stock task, and for a ballot about one where it judges: an
agent that answers, and writes no plan, drops out of every auction.

Where its endpoint refuses the tiny call, or on demand, a dozen small requests find out which of its features are
refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sale.agents.contractor import Contractor
from sale.agents.probes import find_abilities
from sale.agents.protocol import Agent
from sale.auction.ballots import EXCERPT, BallotError, ballot_schema, read_ballot
from sale.auction.bidding import reply_fault
from sale.auction.entropy import strategy_entropy
from sale.auction.jury import ATTEMPTS, ballot_tokens
from sale.auction.labels import draw_labels
from sale.auction.prompts import bid_prompt, judge_prompt
from sale.auction.protocols import BidRequest, JudgeRequest
from sale.auction.text import clip
from sale.config import AgentSettings
from sale.errors import CallError, ModelFileError, RejectedError, SaleError
from sale.types import AuctionRules, Price, Prompt, Reply, Task

# The schema wants a score, the words do not ask for one: only an endpoint that enforces schemas gives it.
PROBE = Prompt(system="You answer briefly.", user="Say hello.", template="probe")
PROBE_TOKENS = 24
SCORE = "score"
STOCK_TASK = Task(text="A shop sells pens at 3 for 2 euros. What do 12 pens and a notebook of 4 euros cost together?")
"""The task that agents are asked to plan, and jurors to judge a plan of."""
STOCK_PLAN = (
    "1. Find how many threes there are in 12.\n2. Multiply by 2 euros.\n3. Add the notebook, and check the sum."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingCapability:
    """Something an agent does not give, and what that costs the auction."""

    what: str
    costs: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkup:
    """The findings of one call to an agent."""

    agent: str
    price: Price
    reachable: bool
    logprobs: bool
    json_schema: bool
    seconds: float | None
    """Of the tiny call."""
    dollars: float | None
    """Of the tiny call."""
    lacks: tuple[MissingCapability, ...]
    plan: bool | None = None
    """True where it wrote a plan of the stock task; `None` where it was not asked for one."""
    ballot: bool | None = None
    """True where it scored a plan of the stock task; `None` where it was not asked to."""
    write: tuple[str, ...] = ()
    """Lines for its table in `sale.toml`, by what its endpoint was found to refuse."""
    unknown: Mapping[str, str] = field(default_factory=dict[str, str])
    """The features of its endpoint that nothing is known of, with the reason."""


async def examine(
    agent: Agent,
    settings: AgentSettings | None = None,
    *,
    abilities: bool = False,
    rules: AuctionRules | None = None,
    judges: bool = False,
) -> Checkup:
    """Call an agent once and read what comes back; never raises for what the agent does.

    A program or function is not called, which may cost anything: it is only seen to be there.

    Args:
        agent: The agent.
        settings: Its table. With it, an endpoint that refuses the call is asked what it takes.
        abilities: Whether an endpoint is asked what it takes in any case.
        rules: Of the market. With them it is asked for a plan, where agents write plans.
        judges: Whether it sits on the jury; it is then asked for a ballot, too, where there are rules.
    """
    if isinstance(agent, Contractor):
        found = await _called(agent)
        if rules is not None and found.reachable:
            found = await _rehearsed(agent, found, rules, judges=judges)
        if settings is not None and settings.endpoint is not None and (abilities or not found.reachable):
            return await _asked(agent, settings, found)
        return found
    try:
        await agent.prepare()
    except SaleError as error:
        return _unreachable(agent, error)
    return Checkup(
        agent=agent.name,
        price=agent.price,
        reachable=True,
        logprobs=False,
        json_schema=False,
        seconds=None,
        dollars=None,
        lacks=(_NO_MODEL,),
    )


async def _asked(contractor: Contractor, settings: AgentSettings, found: Checkup) -> Checkup:
    """The findings with what the endpoint takes."""
    reach = contractor.reach
    taken = None if reach is None else await find_abilities(await reach.address(), contractor.name)
    if taken is None:
        return found
    lacks = [
        MissingCapability(
            what=f"the endpoint refuses {name}: {words}",
            costs="requests and bids that have it fail, or go to other agents once they have failed",
            remedy="Write what is shown below into its table in sale.toml.",
        )
        for name, words in taken.refused.items()
    ]
    write, unknown = tuple(taken.settings(settings)), taken.unknown
    return replace(found, lacks=(*found.lacks, *lacks), write=write, unknown=unknown)


async def _called(contractor: Contractor) -> Checkup:
    request = JudgeRequest(prompt=PROBE, max_tokens=PROBE_TOKENS, schema=ballot_schema([SCORE]))
    try:
        reply = await contractor.judge(request)
    except (CallError, ModelFileError) as error:
        return _unreachable(contractor, error)
    logprobs = reply.logprobs is not None and strategy_entropy(reply.logprobs) is not None
    schema = _is_ballot(reply)
    lacks = [
        *([] if logprobs else [_NO_LOGPROBS]),
        *([] if schema else [_NO_SCHEMA]),
        *[MissingCapability(what=fault, costs=_NO_TOOLS, remedy=_OWN_COMMAND) for fault in await contractor.faults()],
    ]
    return Checkup(
        agent=contractor.name,
        price=contractor.price,
        reachable=True,
        logprobs=logprobs,
        json_schema=schema,
        seconds=reply.seconds,
        dollars=contractor.price.dollars(reply.usage),
        lacks=tuple(lacks),
    )


async def _rehearsed(contractor: Contractor, found: Checkup, rules: AuctionRules, *, judges: bool) -> Checkup:
    """The findings with the plan and the ballot of a stock task, as far as an auction would ask for them."""
    if rules.plans:
        fault = await _plan_fault(contractor, rules)
        found = replace(found, plan=fault is None)
        if fault is not None:
            found = replace(found, lacks=(*found.lacks, _no_plan(fault)))
    if judges:
        fault = await _ballot_fault(contractor, rules)
        found = replace(found, ballot=fault is None)
        if fault is not None:
            found = replace(found, lacks=(*found.lacks, _no_ballot(fault)))
    return found


async def _plan_fault(contractor: Contractor, rules: AuctionRules) -> str | None:
    prompt = bid_prompt(STOCK_TASK, contractor.tools, rules.strategy_tokens)
    request = BidRequest(task=STOCK_TASK, prompt=prompt, max_tokens=rules.strategy_tokens)
    try:
        async with asyncio.timeout(rules.bid_seconds):
            reply = await contractor.bid(request)
    except TimeoutError:
        return f"it took more than {rules.bid_seconds:g} seconds (auction.bid_seconds)"
    except SaleError as error:
        return error.message
    fault = reply_fault(reply, rules)
    return None if fault is None else f"{fault}{_quoted(reply.text)}"


async def _ballot_fault(contractor: Contractor, rules: AuctionRules) -> str | None:
    labels = draw_labels(1, (contractor.name,))
    prompt = judge_prompt(STOCK_TASK, STOCK_PLAN, label=labels[0])
    request = JudgeRequest(prompt=prompt, max_tokens=ballot_tokens(1), schema=ballot_schema(labels))
    fault = ""
    for _ in range(ATTEMPTS):
        try:
            async with asyncio.timeout(rules.judge_seconds):
                reply = await contractor.judge(request)
            read_ballot(reply.text, labels)
        except TimeoutError:
            return f"it took more than {rules.judge_seconds:g} seconds (auction.judge_seconds)"
        except SaleError as error:
            return error.message
        except BallotError as error:
            fault = str(error)
        else:
            return None
    return fault


def _quoted(text: str) -> str:
    """The beginning of an answer, for a fault; empty where there is none."""
    short = clip(" ".join(text.split()), EXCERPT)
    return f"; it wrote: {short}" if short else ""


def _no_plan(fault: str) -> MissingCapability:
    return MissingCapability(
        what=f"no plan of a small task: {fault}",
        costs="where it writes no plan, the agent drops out",
        remedy="Take a model that writes plans. If its plan was cut or it thinks first, raise auction.strategy_tokens, "
        "or lower effort. In a pool that bids with what it looks up, set auction.plans = false.",
    )


def _no_ballot(fault: str) -> MissingCapability:
    return MissingCapability(
        what=f"no ballot about a plan: {fault}",
        costs="its scores are missing, and made up from those of the others",
        remedy="judge = false in its table keeps it off the jury.",
    )


def _unreachable(contractor: Agent, error: SaleError) -> Checkup:
    remedy = error.hint
    if isinstance(error, RejectedError) and "logprob" in error.message.lower():
        remedy = "The endpoint refuses log-probabilities: set logprobs = 0 for this agent."
    lack = MissingCapability(
        what=f"no answer ({error.code}): {error.message}", costs="the agent drops out of every auction", remedy=remedy
    )
    return Checkup(
        agent=contractor.name,
        price=contractor.price,
        reachable=False,
        logprobs=False,
        json_schema=False,
        seconds=None,
        dollars=None,
        lacks=(lack,),
    )


def _is_ballot(reply: Reply) -> bool:
    try:
        read_ballot(reply.text, [SCORE])
    except BallotError:
        return False
    return True


_NO_TOOLS = "the agent bids and works without these tools"
_OWN_COMMAND = "Start the server by hand to see more, and correct its [[tools.mcp]] in sale.toml."
_NO_MODEL = MissingCapability(
    what="an agent of its own making: it was not called",
    costs="the entropy term is left out of its bids, and it does not sit on the jury",
    remedy="Nothing to do.",
)
_NO_LOGPROBS = MissingCapability(
    what="no log-probabilities",
    costs="the entropy term is left out of its bids, and the jury's weight scaled up in its place",
    remedy="Nothing to do if the endpoint has none; set logprobs = 0 to stop asking.",
)
_NO_SCHEMA = MissingCapability(
    what="no JSON-schema output",
    costs="as a juror it may answer in prose; it is asked once more, and then its score is imputed from the others",
    remedy="Nothing to do if the endpoint has none; judge = false keeps it off the jury.",
)
