"""A task whose winner fails goes to the next best bid; a task nobody needs to bid for is awarded at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sale import AuctionRules, Check, FunctionAgent, Market, Price, Task, Weights
from sale.auction.events import AwardedAgain, Event
from sale.auction.terms import AuctionTerms
from sale.cli.board import result_board
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.server.progress import describe_event
from sale.types import Call, CheckErrors, Result, Settlement, SuccessModel, Training, Usage

WORTH = 1_000.0


def agent(name: str, price: float, answer: str, bids: list[str] | None = None) -> FunctionAgent:
    async def plan(task: Task) -> str:
        if bids is not None:
            bids.append(name)
        return f"1. Do it as {name} does."

    async def work(task: Task, strategy: str | None) -> str:
        return answer

    return FunctionAgent(name, price=Price(input=price, output=price, blended=price), bid=plan, execute=work)


def model(*, spread: float = 0.0, auction: float = 1.0, track: float = 1.0, **rates: float) -> SuccessModel:
    return SuccessModel(
        worth=WORTH,
        intercepts=dict.fromkeys(rates, 0.0),
        newcomer=0.0,
        rates=rates,
        newcomer_rate=0.5,
        coefficients={"track": track},
        means={"track": 0.0},
        work={"small": 1.0, "middle": 10.0, "large": 100.0},
        newcomer_tokens=100.0,
        spread=dict.fromkeys(rates, spread),
        auction=auction,
    )


def weights(found: SuccessModel) -> Weights:
    return Weights(cost=1.0, entropy=0.0, jurors={}, source="weights 1", model=found)


async def is_right(task: Task, answer: str) -> bool:
    return answer == "right"


def opener_at(path: Path):
    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(path, embedder=MiniLMEmbedder())

    return opener


def shown(result: Result) -> str:
    console = Console(width=140, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(result_board(result))
    return capture.get()


POOL: Sequence[tuple[str, float, str]] = (("small", 0.1, "wrong"), ("middle", 0.5, "wrong"), ("large", 1.0, "right"))


@pytest.mark.parametrize(("attempts", "tried"), [(1, ["small"]), (2, ["small", "middle"]), (5, [*"sml"])])
async def test_the_next_best_bid_gets_the_task_as_often_as_the_rules_say(
    attempts: int, tried: list[str], tmp_path: Path
) -> None:
    seen: list[Event] = []
    pool = [agent(*one) for one in POOL]
    wanted = ["small", "middle", "large"] if attempts == 5 else tried
    async with Market(pool, rules=AuctionRules(attempts=attempts), memory=opener_at(tmp_path / "m")) as market:
        result = await market.run("Do it.", verifier=Check(is_right), observe=seen.append)
        memory = await market.memory()
        assert memory is not None
        tracks = await memory.track_records(Task(text="Do it."), ["small", "middle", "large"])
    assert [one.execution.agent for one in result.attempts] + [result.execution.agent] == wanted
    assert result.outcome.verdict == ("success" if attempts == 5 else "failure")
    assert [event.bid.agent for event in seen if isinstance(event, AwardedAgain)] == wanted[1:]
    assert {name: (track.successes, track.failures) for name, track in tracks.items() if track.evidence} == {
        name: (1.0, 0.0) if name == "large" else (0.0, 1.0) for name in wanted
    }
    assert shown(result).count("tried and failed") == len(wanted) - 1


async def test_what_nobody_judged_is_not_tried_again() -> None:
    async with Market([agent(*one) for one in POOL], rules=AuctionRules(attempts=3)) as market:
        result = await market.run("Do it.")
    assert result.attempts == ()
    assert result.outcome.verdict == "unknown"


async def test_nobody_is_sent_to_lose_money(tmp_path: Path) -> None:
    """The dear agent is expected to cost more than a solved task is worth: after the others nobody follows."""
    found = model(small=0.9, middle=0.8, large=0.05)
    rules = AuctionRules(attempts=3)
    pool = [agent(*one) for one in POOL]
    async with Market(pool, rules=rules, weights=weights(found), memory=opener_at(tmp_path / "m")) as market:
        result = await market.run("Do it.", verifier=Check(is_right))
    assert [one.execution.agent for one in result.attempts] == ["small"]
    assert result.execution.agent == "middle"


async def test_a_refused_answer_is_handed_in_where_the_next_agent_breaks_off(tmp_path: Path) -> None:
    async def broken(task: Task, strategy: str | None) -> str:
        raise ConnectionError("503")

    async def plan(task: Task) -> str:
        return "1. Do it."

    dear = FunctionAgent("large", price=Price(input=1.0, output=1.0, blended=1.0), bid=plan, execute=broken)
    rules = AuctionRules(attempts=2, hold="worthwhile", check=CheckErrors(false_fail=0.4))
    found = weights(model(small=0.5, large=0.9))
    pool = [agent("small", 0.1, "42"), dear]
    async with Market(pool, rules=rules, weights=found, memory=opener_at(tmp_path / "m")) as market:
        result = await market.run("Do it.", verifier=Check(is_right))
        memory = await market.memory()
        assert memory is not None
        record = await memory.load(result.auction.id)
    assert (result.answer, result.outcome.judged_by) == ("42", "callable")
    assert [(one.execution.agent, one.outcome.judged_by) for one in result.attempts] == [("large", "execution")]
    assert record.execution == result.execution


async def test_an_auction_that_would_not_pay_is_not_held(tmp_path: Path) -> None:
    bids: list[str] = []
    pool = [agent(*one, bids) for one in POOL]
    rules = AuctionRules(hold="worthwhile", attempts=3)
    found = weights(model(small=0.5, middle=0.6, large=0.9, spread=0.0))
    async with Market(pool, rules=rules, weights=found, memory=opener_at(tmp_path / "m")) as market:
        result = await market.run("Do it.", verifier=Check(is_right))
        assert bids == []
        assert not result.auction.held
        assert result.execution.agent == "large"
        assert not result.execution.followed_strategy
        assert result.auction.settlement.dollars == 0.0
        assert [one.execution.agent for one in result.attempts] == ["small", "middle"]
        said = shown(result)
        assert "no auction" in said
        assert "like tasks" in said
        assert "small tries first: work is checked here" in said
        memory = await market.memory()
        assert memory is not None
        record = await memory.load(result.auction.id)
        assert record.auction == result.auction
        # It teaches nobody how to plan.
        assert await memory.recall(Task(text="Do it."), "small", 4) == ()


async def test_where_nobody_checks_the_best_by_itself_works(tmp_path: Path) -> None:
    pool = [agent(*one) for one in POOL]
    rules = AuctionRules(hold="worthwhile", attempts=3)
    found = weights(model(small=0.5, middle=0.6, large=0.9, spread=0.0))
    async with Market(pool, rules=rules, weights=found, memory=opener_at(tmp_path / "m")) as market:
        result = await market.run("Do it.")
    assert (result.execution.agent, result.attempts) == ("large", ())
    assert "tries first" not in shown(result)


async def test_what_tools_cost_is_shown() -> None:
    async with Market([agent("small", 0.1, "right")]) as market:
        result = await market.run("Do it.")
    assert "tools" not in shown(result)
    call = Call(stage="execute", agent="small", usage=Usage(), dollars=0.25, seconds=1.0, tool="lookup")
    paid = replace(result, settlement=result.settlement + Settlement(calls=(call, call)))
    assert "of it tools" in shown(paid)
    assert "lookup 2 ×" in shown(paid)


async def test_an_auction_that_may_pay_is_held() -> None:
    """Bids that move the odds by a deviation of 2 decide between agents that are close."""
    bids: list[str] = []
    lines: list[str | None] = []
    rules = AuctionRules(hold="worthwhile")
    for auction, expected in ((1.0, 3), (WORTH, 0)):
        bids.clear()
        lines.clear()
        found = weights(model(small=0.5, middle=0.55, large=0.6, spread=2.0, auction=auction))
        async with Market([agent(*one, bids) for one in POOL], rules=rules, weights=found) as market:
            result = await market.run("Do it.", observe=lambda event: lines.append(describe_event(event)))
        assert len(bids) == expected
        assert result.auction.held == bool(expected)
        assert ("bidding has begun among 3 agents" in lines) == bool(expected)
        assert ("The auction was expected to bring $" in shown(result)) == bool(expected)


async def test_the_track_record_moves_the_award(tmp_path: Path) -> None:
    """The model starts with the large agent; as it fails at tasks of the kind the work goes to the small one."""
    pool = [agent("small", 0.1, "right"), agent("large", 1.0, "wrong")]
    found = weights(model(small=0.5, large=0.8))
    rules = AuctionRules(hold="worthwhile")
    winners: list[str] = []
    async with Market(pool, rules=rules, weights=found, memory=opener_at(tmp_path / "m")) as market:
        for number in range(12):
            result = await market.run(f"Add {number} and {number}.", verifier=Check(is_right))
            winners.append(result.execution.agent)
    assert winners[0] == "large"
    assert winners[-1] == "small"


async def test_the_memory_says_by_which_weights(tmp_path: Path) -> None:
    training = Training(objective="utility", auctions=10, judged=10)
    pool = [agent(*one) for one in POOL]
    async with Market(pool, memory=opener_at(tmp_path / "m")) as market:
        before = await market.auction("Do it.")
        memory = await market.memory()
        assert memory is not None
        kept = await memory.add_weights(weights(model(small=0.1, middle=0.1, large=0.9)), training)
        await memory.use_weights(kept.version)
        after = await market.auction("Do it.")
        await memory.use_weights(None)
        again = await market.auction("Do it.")
    assert before.weights.source == again.weights.source == "default"
    assert after.weights == kept.weights
    assert (before.winner.agent, after.winner.agent) == ("small", "large")


async def test_an_allowance_is_earned_by_work_and_by_what_the_memory_knows_of_the_last_day(tmp_path: Path) -> None:
    pool = [agent("small", 1.0, "right"), agent("large", 10.0, "right")]
    rules = AuctionRules(allowance=0.1)

    async def one_task() -> tuple[Result, Market]:
        async with Market(pool, rules=rules, memory=opener_at(tmp_path / "memory.sqlite3")) as market:
            return await market.run("Do it.", observe=lambda _: None), market

    first, market = await one_task()
    assert not first.auction.held
    assert first.execution.agent == "large"
    assert "neither the allowance nor the caps and budgets cover one for this task" in shown(first)
    assert "large was given the task" in shown(first)
    assert market.allowance is not None
    assert market.allowance.earned == pytest.approx(0.1 * first.settlement.work_dollars)
    second, later = await one_task()
    assert later.allowance is not None
    assert later.allowance.earned == pytest.approx(
        0.1 * (first.settlement.work_dollars + second.settlement.work_dollars)
    )


@pytest.mark.parametrize("incumbent", ["small", "large"])
async def test_work_without_an_answer_earns_nothing_now_or_after_a_restart(incumbent: str, tmp_path: Path) -> None:
    pool = [agent("small", 0.1, ""), agent("large", 1.0, "right")]
    rules, known = AuctionRules(allowance=0.1, incumbent=incumbent), weights(model(small=0.9, large=0.9, track=0.0))
    spent = 0.0
    for _ in range(2):
        async with Market(pool, rules=rules, weights=known, memory=opener_at(tmp_path / "memory.sqlite3")) as market:
            result = await market.run("Do it.")
        assert (result.execution.agent, result.outcome.judged_by) == ("small", "execution")
        spent += result.settlement.work_dollars
        assert market.allowance is not None
        own = incumbent == "small"  # it would have failed without a market, too
        found = (market.allowance.earned, market.allowance.spent)
        assert found == (pytest.approx(0.1 * spent if own else 0.0), pytest.approx(0.0 if own else spent))
    assert spent > 0.0


async def test_work_of_the_incumbent_that_was_done_once_more_earns_nothing() -> None:
    pool = [agent("small", 1.0, "right"), agent("large", 1.0, "wrong")]
    rules = AuctionRules(allowance=0.1, attempts=2, incumbent="large")
    async with Market(pool, rules=rules) as market:
        result = await market.run("Do it.", verifier=Check(is_right))
    assert [one.execution.agent for one in (*result.attempts, result)] == ["large", "small"]
    wasted, done = (one.execution.calls[0].dollars for one in (*result.attempts, result))
    assert market.allowance is not None
    assert (market.allowance.earned, market.allowance.spent) == (pytest.approx(0.1 * done), pytest.approx(wasted))
    assert wasted > 0.0


@pytest.mark.parametrize(("owed", "answer", "tried"), [(0.0, "wrong", 2), (1.0, "wrong", 1), (1.0, "", 2)])
async def test_while_overdrawn_no_agent_dearer_than_the_incumbent_follows_a_refused_answer(
    owed: float, answer: str, tried: int
) -> None:
    pool = [agent("small", 0.1, answer), agent("large", 1.0, "right")]
    rules = AuctionRules(allowance=0.1, attempts=2, incumbent="small")
    async with Market(pool, rules=rules) as market:
        assert market.allowance is not None
        market.allowance.spent = owed
        result = await market.run("Do it.", verifier=Check(is_right))
    assert [one.execution.agent for one in (*result.attempts, result)] == ["small", "large"][:tried]


async def test_the_worst_auction_has_no_refinement_without_a_memory(tmp_path: Path) -> None:
    pool = [agent("small", 1.0, "right"), agent("large", 10.0, "right")]
    opener = opener_at(tmp_path / "memory.sqlite3")
    markets = [Market(pool), Market(pool, rules=AuctionRules(refine=False)), Market(pool, memory=opener)]
    without, plain, remembering = [market.worst_auction("Do it.", AuctionTerms()) for market in markets]
    assert 0.0 < without == plain < remembering


async def test_savings_are_counted_against_the_incumbent() -> None:
    pool = [agent("small", 1.0, "right"), agent("middle", 5.0, "right"), agent("large", 10.0, "right")]
    for named, expected in ((None, "large"), ("middle", "middle")):
        async with Market(pool, rules=AuctionRules(incumbent=named)) as market:
            result = await market.run("Do it.")
            assert result.always_largest.agent == market.incumbent.name == expected
