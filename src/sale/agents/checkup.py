"""One tiny call to an agent, and what it shows: is it there, and does it give the auction what the auction can use?

Where its endpoint refuses that call, or on demand, a dozen small requests find out which of its features are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sale.agents.contractor import Contractor
from sale.agents.probes import find_abilities
from sale.agents.protocol import Agent
from sale.auction.ballots import BallotError, ballot_schema, read_ballot
from sale.auction.entropy import strategy_entropy
from sale.auction.protocols import JudgeRequest
from sale.config import AgentSettings
from sale.errors import CallError, ModelFileError, RejectedError, SaleError
from sale.types import Price, Prompt, Reply

# The schema wants a score, the words do not ask for one: only an endpoint that enforces schemas gives it.
PROBE = Prompt(system="You answer briefly.", user="Say hello.", template="probe")
PROBE_TOKENS = 24
SCORE = "score"


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
    dollars: float | None
    lacks: tuple[MissingCapability, ...]
    write: tuple[str, ...] = ()
    """Lines for its table in `sale.toml`, by what its endpoint was found to refuse."""
    unknown: Mapping[str, str] = field(default_factory=dict[str, str])
    """The features of its endpoint that nothing is known of, with the reason."""


async def examine(agent: Agent, settings: AgentSettings | None = None, *, abilities: bool = False) -> Checkup:
    """Call an agent once and read what comes back; never raises for what the agent does.

    A program or function is not called, which may cost anything: it is only seen to be there.

    Args:
        agent: The agent.
        settings: Its table. With it, an endpoint that refuses the call is asked what it takes.
        abilities: Whether an endpoint is asked what it takes in any case.
    """
    if isinstance(agent, Contractor):
        found = await _called(agent)
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
