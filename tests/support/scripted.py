"""Pools of scripted agents, and an auction held among them in one call."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sale.agents.contractor import Contractor
from sale.auction import scoring
from sale.auction.auctioneer import Auctioneer
from sale.auction.events import Event
from sale.auction.ledger import Ledger
from sale.auction.protocols import Bidder, Juror, Recall
from sale.auction.questions import Seat
from sale.config import AgentSettings
from sale.errors import CallError, SaleError
from sale.models.scripted import Line, Script, ScriptedModel, plans_in
from sale.types import Auction, AuctionRules, Pair, Price, Prompt, Task, Weights
from tests.support.builders import PLAN, TASK
from tests.support.builders import price as one_price

Said = Line | str | CallError
Opinion = Callable[[str], int]
E_ = TypeVar("E_")


def acts(
    *,
    bid: Said | Sequence[Said] = PLAN,
    refine: Said | Sequence[Said] | None = None,
    judge: int | Opinion | Said | Sequence[int | Opinion | Said] = 3,
    seconds: Mapping[str, float] | None = None,
) -> Script:
    """A script by stage. A list is said turn by turn, its last entry again and again.

    Args:
        bid: The first strategy.
        refine: The refined one; the first again unless given.
        judge: A score for every plan, an opinion of a plan's text, or what is said instead of a ballot.
        seconds: How long each stage takes.
    """
    turns: dict[str, int] = {}
    lines = {"bid": bid, "refine": bid if refine is None else refine, "judge": judge}

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str | CallError:
        stage = prompt.template.partition("@")[0].removesuffix("_panel")
        chosen = lines[stage]
        if isinstance(chosen, Sequence) and not isinstance(chosen, str):
            turn = turns.get(stage, 0)
            turns[stage] = turn + 1
            chosen = chosen[min(turn, len(chosen) - 1)]
        if not isinstance(chosen, str | Line | CallError):
            chosen = ballot(prompt, chosen)
        wait = (seconds or {}).get(stage)
        return Line(text=chosen, seconds=wait) if wait and isinstance(chosen, str) else chosen

    return script


def ballot(prompt: Prompt, opinion: int | Opinion) -> str:
    """The ballot on what a juror is shown."""
    plans = plans_in(prompt.user)
    return json.dumps({label: opinion if isinstance(opinion, int) else opinion(plans[label]) for label in plans})


def contractor(
    name: str, script: Script | None = None, *, price: float | Price = 1.0, judge: bool = True
) -> Contractor:
    """A real contractor over a scripted model."""
    settings = AgentSettings(name=name, endpoint="http://127.0.0.1:9", model=name, judge=judge)
    rate = price if isinstance(price, Price) else one_price(price)
    return Contractor(settings, price=rate, model=ScriptedModel(script or acts()))


def asked(agent: Contractor) -> list[Prompt]:
    """What an agent's model was asked, in order."""
    model = agent._model
    assert isinstance(model, ScriptedModel)
    return model.asked


@dataclass
class Watch:
    """An observer that keeps every event and when it came."""

    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.times.append(time.monotonic())

    def of(self, kind: type[E_]) -> list[E_]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


@dataclass
class Remembered:
    """An auction memory that says what it is told to, and knows who asked."""

    pairs: Mapping[str, tuple[Pair, ...]]
    error: SaleError | None = None
    seconds: float = 0.0
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def recall_each(self, task: Task, agents: Sequence[str], k: int) -> Mapping[str, tuple[Pair, ...]]:
        self.asked += [(agent, k) for agent in agents]
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return {agent: self.pairs.get(agent, ()) for agent in agents}


@dataclass
class Held:
    """An auction and all there is to see of it."""

    auction: Auction
    ledger: Ledger
    watch: Watch


def auctioneer(
    agents: Sequence[Bidder],
    *,
    jurors: Sequence[Juror] | None = None,
    seats: Sequence[Seat] = (),
    rules: AuctionRules | None = None,
    weights: Weights | None = None,
    memory: Recall | None = None,
    weigh: scoring.ScoringRule = scoring.weigh,
) -> Auctioneer:
    """Among contractors, who all judge unless jurors are given; with the default weights unless others are."""
    jury = [a.juror for a in agents if isinstance(a, Contractor) and a.juror] if jurors is None else jurors
    prior = scoring.default_weights(
        {agent.name: agent.price for agent in agents}, [juror.name for juror in (*jury, *seats)]
    )
    return Auctioneer(
        bidders=agents,
        jurors=jury,
        seats=seats,
        rules=rules or AuctionRules(),
        weights=weights or prior,
        memory=memory,
        weigh=weigh,
    )


async def hold(
    agents: Sequence[Bidder],
    *,
    task: Task = TASK,
    jurors: Sequence[Juror] | None = None,
    seats: Sequence[Seat] = (),
    rules: AuctionRules | None = None,
    weights: Weights | None = None,
    memory: Recall | None = None,
) -> Held:
    """Hold one auction."""
    watch = Watch()
    market = auctioneer(agents, jurors=jurors, seats=seats, rules=rules, weights=weights, memory=memory)
    ledger = Ledger(caps=market.rules.caps, observe=watch)
    return Held(await market.hold("test", task, ledger, watch), ledger, watch)
