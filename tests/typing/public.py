"""What a type checker sees of the public face. It is checked, not run: `make check` reads it."""

from __future__ import annotations

from typing import assert_type

import sale
from sale import (
    Agent,
    Auction,
    Check,
    Contractor,
    ExactMatch,
    Execution,
    FunctionAgent,
    Market,
    ModelJudge,
    Outcome,
    Price,
    Result,
    Settlement,
    Strategy,
    Task,
    Usage,
    Verifier,
    Work,
)
from sale.auction.protocols import Bidder, Juror, Recall
from sale.memory.store import AuctionMemory
from sale.models.endpoint import EndpointModel
from sale.models.protocol import Model
from sale.models.scripted import ScriptedModel


async def plan(task: Task) -> str:
    return task.text


async def work(task: Task, strategy: str | None) -> Work:
    return Work(text=strategy or task.text, usage=Usage())


async def check(task: Task, answer: str) -> bool | None:
    return task.text == answer or None


async def the_life_of_a_task(market: Market) -> None:
    result = await market.run("Do it.", verifier=ExactMatch("done"))
    assert_type(result, Result)
    assert_type(market.run_sync(Task(text="Do it.")), Result)
    assert_type(await market.auction("Do it."), Auction)
    assert_type(result.answer, str)
    assert_type(result.saved, float)
    assert_type(result.auction.winner.strategy, Strategy)
    assert_type(result.execution, Execution)
    assert_type(result.outcome, Outcome)
    assert_type(result.settlement, Settlement)
    assert_type(result.settlement.overhead, float | None)
    assert_type(sale.Market.from_config(), Market)
    assert_type(await market.memory(), AuctionMemory | None)


def what_fits_where(
    contractor: Contractor, scripted: ScriptedModel, endpoint: EndpointModel, memory: AuctionMemory
) -> None:
    price = Price(input=0.1, output=0.4, blended=0.2)
    own = FunctionAgent("own", price=price, bid=plan, execute=work)
    agents: list[Agent] = [own, contractor]
    bidders: list[Bidder] = [*agents]
    jurors: list[Juror] = [contractor]
    models: list[Model] = [scripted, endpoint]
    verifiers: list[Verifier] = [ExactMatch("x"), Check(check), ModelJudge(jurors[0])]
    recall: Recall = memory
    assert_type(Market(agents), Market)
    assert bidders
    assert models
    assert verifiers
    assert recall
