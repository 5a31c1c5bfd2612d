"""Whole auctions over real HTTP, good and bad agents mixed: while one bid stands, somebody gets the task."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from sale.agents.contractor import Contractor
from sale.auction.auctioneer import Auctioneer
from sale.auction.events import Event
from sale.auction.ledger import Ledger
from sale.auction.protocols import Recall
from sale.auction.scoring import default_weights
from sale.errors import NoBidsError
from sale.types import Auction, AuctionRules, Caps, JuryMode, Pair, Task
from tests.support.endpoint import Endpoint
from tests.support.pool import KEY, contractor

TASK = Task(text="Write a function that sorts a list of names.")
RULES = AuctionRules(strategy_tokens=200, bid_seconds=20.0, judge_seconds=20.0, examples=2, caps=Caps(seconds=60.0))
# Where somebody hangs the limits are waited for. Nothing rests on how soon they end, but they leave a busy machine time
# for those who answer.
HURRIED = replace(RULES, bid_seconds=5.0, judge_seconds=5.0)
HANGING = {"hang", "stall", "hang-as-juror"}
CUT = ("call.timeout: ", "auction.cap: ", "call: cancelled")
"""How a call ends that its time has ended."""
MODES: list[JuryMode] = ["panel", "per-bid"]


def rules_for(mode: JuryMode, *behaviours: str) -> AuctionRules:
    return replace(HURRIED if HANGING & set(behaviours) else RULES, jury=mode)


class Remembers:
    """An auction memory in which everybody once lost to a better plan."""

    async def recall_each(self, task: Task, agents: Sequence[str], k: int) -> Mapping[str, tuple[Pair, ...]]:
        pair = Pair(
            auction_id="1",
            task="Sort a list of numbers.",
            similarity=0.8,
            losing="1. Guess.",
            winning="1. Use sorted. 2. Check the empty list.",
            own="losing",
        )
        return dict.fromkeys(agents, (pair,)[:k])


@dataclass
class Held:
    """An auction, or why there was none, and everything that happened on the way."""

    auction: Auction | None
    refusal: NoBidsError | None
    ledger: Ledger
    events: list[Event]

    @property
    def won(self) -> Auction:
        assert self.auction is not None, str(self.refusal)
        return self.auction


async def hold(agents: Sequence[Contractor], rules: AuctionRules, memory: Recall | None = None) -> Held:
    jurors = [juror for agent in agents if (juror := agent.juror) is not None]
    weights = default_weights({agent.name: agent.price for agent in agents}, [juror.name for juror in jurors])
    events: list[Event] = []
    ledger = Ledger(caps=rules.caps, observe=events.append)
    auctioneer = Auctioneer(bidders=agents, jurors=jurors, rules=rules, weights=weights, memory=memory)
    auction, refusal = None, None
    try:
        auction = await auctioneer.hold("a1", TASK, ledger, events.append)
    except NoBidsError as error:
        refusal = error
    for agent in agents:
        await agent.aclose()
    return Held(auction, refusal, ledger, events)


def pool(endpoint: Endpoint, *behaviours: str) -> list[Contractor]:
    """Agents a, b, c, …, each twice as dear as the one before."""
    return [
        contractor(endpoint, "abcdefgh"[place], behaviour, price=0.1 * 2**place, settings={"logprobs": 5})
        for place, behaviour in enumerate(behaviours)
    ]


def check(held: Held, agents: Sequence[Contractor], rules: AuctionRules, endpoint: Endpoint) -> None:
    """What is true of every auction, however its agents behave."""
    names = {agent.name for agent in agents}
    settlement = held.ledger.settlement
    # Every request is on the settlement, at its price, and within the caps. On a busy machine a call's time may be up
    # before its request has been sent: it is on the settlement all the same.
    cut = sum((call.error or "").startswith(CUT) for call in settlement.calls)
    assert 0 <= len(settlement.calls) - len(endpoint.requests()) <= cut
    assert len(settlement.calls) <= rules.caps.calls
    assert settlement.usage.total <= rules.caps.tokens
    prices = {agent.name: agent.price for agent in agents}
    for call in settlement.calls:
        assert call.agent in names
        assert call.dollars == pytest.approx(prices[call.agent].dollars(call.usage))
        assert call.error is not None or call.usage.total > 0
    assert KEY not in f"{held.auction!r}{held.refusal!s}{held.events!r}{settlement!r}"
    if held.auction is None:
        assert held.refusal is not None
        assert all(f"{name}: " in held.refusal.message for name in names)
        return
    check_record(held.auction, agents)
    assert held.auction.settlement == settlement


def check_record(auction: Auction, agents: Sequence[Contractor]) -> None:
    names = [agent.name for agent in agents]
    bidders = [bid.agent for bid in auction.bids]
    dropped = [drop.agent for drop in auction.dropouts if drop.stage == "bid"]
    assert sorted([*bidders, *dropped]) == names
    assert all(drop.reason and drop.code for drop in auction.dropouts)
    assert auction.winner in auction.contenders
    assert auction.provisional in bidders
    assert auction.winner.net_cost <= min(bid.net_cost for bid in auction.bids)
    for bid in auction.contenders:
        assert [score.juror for score in bid.scores] == names
        assert all(0 <= score.value <= 5 for score in bid.scores)
        assert all(score.note for score in bid.scores if score.imputed)
        assert bid.strategy.text
        assert (bid.strategy.entropy is None) == bool(bid.strategy.entropy_note)


# --- the good case ---


@pytest.mark.parametrize("mode", MODES)
async def test_among_good_agents_everybody_bids_and_is_judged_by_all(endpoint: Endpoint, mode: JuryMode) -> None:
    agents, rules = pool(endpoint, *["good"] * 4), replace(RULES, jury=mode)
    held = await hold(agents, rules)
    check(held, agents, rules, endpoint)
    auction = held.won
    assert [bid.agent for bid in auction.bids] == ["a", "b", "c", "d"]
    assert auction.dropouts == ()
    assert len(auction.settlement.calls) == 4 + (4 if mode == "panel" else 16)
    for bid in auction.bids:
        assert bid.notes == ()
        assert bid.strategy.entropy is not None
        assert not any(score.imputed for score in bid.scores)
        assert all(score.expected is not None for score in bid.scores)


@pytest.mark.parametrize("mode", MODES)
async def test_cheaper_agents_refine_from_memory_and_are_judged_again(endpoint: Endpoint, mode: JuryMode) -> None:
    # The dearest plan gets full marks, the others none: it leads, and the three cheaper ones may refine.
    endpoint.say = lambda ask: None if not ask.judging else _scores(ask.prompt, ask.schema or {}, best=f"(good@{'d'})")
    agents, rules = pool(endpoint, *["good"] * 4), replace(RULES, jury=mode)
    held = await hold(agents, rules, Remembers())
    check(held, agents, rules, endpoint)
    assert held.won.provisional == "d"
    assert [refinement.agent for refinement in held.won.refinements] == ["a", "b", "c"]
    assert all(refinement.bid is not None for refinement in held.won.refinements)
    stages = [call.stage for call in held.won.settlement.calls]
    assert stages.count("refine") == 3
    assert stages.count("rejudge") == (4 if mode == "panel" else 12)
    asked = [request.body["messages"][1]["content"] for request in endpoint.requests()]
    assert sum("Check the empty list" in prompt for prompt in asked) == 3


def _scores(prompt: str, schema: Mapping[str, object], *, best: str) -> str:
    """A ballot with 5 for the plan that names `best` and 0 for the rest."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    chunks = prompt.split("<plan ")[1:]
    pairs = [f'"{label}": {5 if best in chunk else 0}' for label, chunk in zip(properties, chunks, strict=True)]
    return "{" + ", ".join(pairs) + "}"


# --- bad bidders ---

NO_BID = {
    "429-always": "call.rate_limited",
    "500-always": "call.server",
    "401": "call.rejected",
    "404-model": "call.rejected",
    "reject-logprobs": "call.rejected",
    "context-too-long": "call.rejected",
    "echo-key": "call.rejected",
    "cut": "call.unreachable",
    "hang": "call.timeout",
    "stall": "call.timeout",
    "malformed-json": "call.bad_reply",
    "html": "call.bad_reply",
    "empty-choices": "call.bad_reply",
    "empty-text": "call.bad_reply",
    "thinking-cut": "call.bad_reply",
    "refusal": "call.bad_reply",
    "no-usage": "call.bad_reply",
    "negative-usage": "call.bad_reply",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("behaviour", NO_BID)
async def test_while_one_bid_stands_it_wins_and_the_others_have_a_reason(
    endpoint: Endpoint, behaviour: str, mode: JuryMode
) -> None:
    agents, rules = pool(endpoint, behaviour, behaviour, "good", behaviour), rules_for(mode, behaviour)
    held = await hold(agents, rules)
    check(held, agents, rules, endpoint)
    assert held.won.winner.agent == "c"
    assert [(drop.agent, drop.code) for drop in held.won.dropouts] == [(name, NO_BID[behaviour]) for name in "abd"]
    assert sum(type(event).__name__ == "AgentDropped" for event in held.events) == 3


@pytest.mark.parametrize("mode", MODES)
async def test_without_a_bid_there_is_no_auction_and_everybodys_reason_is_given(
    endpoint: Endpoint, mode: JuryMode
) -> None:
    agents, rules = pool(endpoint, "401", "500-always", "hang", "empty-text"), rules_for(mode, "hang")
    held = await hold(agents, rules)
    check(held, agents, rules, endpoint)
    assert held.auction is None
    assert len(held.ledger.settlement.calls) == 4


async def test_agents_without_log_probabilities_bid_without_the_entropy_term(endpoint: Endpoint) -> None:
    agents = pool(endpoint, "no-logprobs", "good", "weird-logprobs")
    held = await hold(agents, RULES)
    check(held, agents, RULES, endpoint)
    without, with_all, with_some = held.won.bids
    assert without.strategy.entropy is None
    assert "entropy unknown" in without.notes[0]
    assert with_all.notes == with_some.notes == ()
    assert with_some.strategy.entropy is not None


# --- bad jurors ---

NO_VOTE = {
    "prose-ballot": ("no ballot", 2),
    "out-of-range-ballot": ("no ballot", 2),
    "thinking": ("no ballot", 2),  # its thoughts use up the few tokens of a ballot
    "reject-schema": ("call.rejected", 1),
    "401-as-juror": ("call.rejected", 1),
    "500-as-juror": ("call.server", 2),
    "hang-as-juror": ("call.timeout", 1),  # it may be at work still
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("behaviour", NO_VOTE)
async def test_a_juror_without_a_vote_is_imputed_with_the_reason(
    endpoint: Endpoint, behaviour: str, mode: JuryMode
) -> None:
    agents, rules = pool(endpoint, "score-4", behaviour, "score-2"), rules_for(mode, behaviour)
    held = await hold(agents, rules)
    check(held, agents, rules, endpoint)
    reason, asked = NO_VOTE[behaviour]
    for bid in held.won.bids:
        first, missing, third = bid.scores
        assert (first.value, missing.value, third.value) == (4, 3.0, 2)
        assert missing.imputed
        assert reason in str(missing.note)
    judged = [call for call in held.won.settlement.calls if (call.stage, call.agent) == ("judge", "b")]
    assert len(judged) == asked * (1 if mode == "panel" else 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("behaviour", ["fenced-ballot", "prose-then-ballot"])
async def test_a_ballot_in_a_fence_or_at_the_second_try_counts(
    endpoint: Endpoint, behaviour: str, mode: JuryMode
) -> None:
    agents, rules = pool(endpoint, "good", f"{behaviour}+score-1"), replace(RULES, jury=mode)
    held = await hold(agents, rules)
    check(held, agents, rules, endpoint)
    assert len(held.won.bids) == 2
    assert [score.value for bid in held.won.bids for score in bid.scores if score.juror == "b"] == [1, 1]


async def test_an_agent_told_not_to_use_the_schema_still_votes(endpoint: Endpoint) -> None:
    agents = [
        contractor(endpoint, "a", "good"),
        contractor(endpoint, "b", "reject-schema", settings={"json_schema": False}),
    ]
    held = await hold(agents, RULES)
    check(held, agents, RULES, endpoint)
    assert not any(score.imputed for bid in held.won.bids for score in bid.scores)


# --- time ---


@pytest.mark.parametrize("mode", MODES)
async def test_a_cancelled_auction_leaves_no_call_running(endpoint: Endpoint, mode: JuryMode) -> None:
    agents = pool(endpoint, "hang", "hang-as-juror", "good")
    running = asyncio.create_task(hold(agents, replace(RULES, jury=mode, bid_seconds=30.0, judge_seconds=30.0)))
    assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) >= 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    open_ones = [one for one in endpoint.requests() if one.model.startswith("hang")]
    hanging = [one for one in open_ones if one.status is None or one.cancelled]
    assert await asyncio.to_thread(endpoint.wait, lambda: all(one.cancelled for one in hanging))
    for agent in agents:
        await agent.aclose()


# --- everything at once ---

BEHAVIOURS = [
    *["good"] * 6,
    *NO_BID,
    *NO_VOTE,
    "fenced-ballot",
    "prose-then-ballot",
    "no-logprobs",
    "weird-logprobs",
    "thinking",
    "thinking-headless",
    "truncated",
    "slow-150",
    "slow-500",
    "500-after-1",
    "500-after-3",
]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_the_agents_do_the_auction_keeps_its_promises(endpoint: Endpoint, seed: int) -> None:
    chance = random.Random(seed)
    behaviours = chance.choices(BEHAVIOURS, k=4)
    rules = replace(
        rules_for(chance.choice(MODES), *behaviours),
        refine=chance.random() < 0.7,
        caps=replace(RULES.caps, seconds=chance.choice([1.0, 3.0, 60.0])),
    )
    agents = pool(endpoint, *behaviours)
    held = await hold(agents, rules, Remembers() if chance.random() < 0.7 else None)
    check(held, agents, rules, endpoint)
    dropped = {drop.agent: drop.code for drop in held.auction.dropouts if drop.stage == "bid"} if held.auction else {}
    for agent, behaviour in zip(agents, behaviours, strict=True):
        # Only time can keep a good agent from bidding.
        if behaviour == "good" and held.auction is not None:
            assert dropped.get(agent.name, "call.timeout") in {"call.timeout", "auction.cap"}
        if behaviour in NO_BID:
            assert held.auction is None or agent.name in dropped
    if held.auction is None:
        # A good agent has no bid only where the time was up: its own, or the auction's.
        late = ("no answer within", "the auction has used its")
        assert "good" not in behaviours or any(words in str(held.refusal) for words in late)
