"""Past auctions as learning sees them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sale.errors import InputError
from sale.memory import examples
from sale.memory.store import AuctionMemory
from sale.types import Attempt, Example, Score, Task, Verdict, Worked
from tests.memory.builders import Fresh, auction, bid, call, execution, outcome, remember


@pytest.fixture
def kind() -> str:
    return "sqlite"


async def test_an_example_is_what_was_bid_and_what_came_of_it(memory: AuctionMemory):
    held = await remember(memory, "x", "sort", verdict="failure")
    (found,) = await memory.examples()
    assert found == Example(
        auction_id="x",
        task="sort",
        bids=held.bids,
        winner="a",
        work={"a": Worked(success=False, dollars=0.25, check="tests")},
        overhead=pytest.approx(0.02),  # pyright: ignore[reportArgumentType]
        checked=True,
    )


async def test_of_each_agent_the_bid_it_stood_with(memory: AuctionMemory):
    unjudged = replace(bid("c", 0.1, refined=True), scores=(Score(juror="judge", bidder="c", value=2.5, imputed=True),))
    refined = bid("b", 0.5, refined=True)
    firsts = (bid("a", 1.0), bid("b", 2.0), bid("c", 3.0))
    await remember(memory, "x", "sort", firsts, refined=[unjudged, refined], winner=refined)
    (found,) = await memory.examples()
    assert found.bids == (firsts[0], refined, firsts[2])
    assert found.winner == "b"
    assert set(found.work) == {"b"}


async def test_only_settled_auctions_and_only_judged_work(memory: AuctionMemory):
    await remember(memory, "unknown", "one", verdict="unknown")
    await remember(memory, "at work", "two", verdict=None)
    await remember(memory, "for its own sake", "three", verdict=None)
    await memory.close_unexecuted("for its own sake")
    await memory.feedback("for its own sake", "success")
    await memory.begin("open", Task(text="four"))
    await remember(memory, "judged later", "five", verdict="unknown")
    await memory.feedback("judged later", "success")
    found = {one.auction_id: one for one in await memory.examples()}
    assert set(found) == {"unknown", "judged later"}
    assert found["unknown"].work == {}
    assert len(found["unknown"].bids) == 2
    assert found["judged later"].work["a"].success
    assert not found["judged later"].checked, "no verifier would have found a failure out"


async def test_every_attempt_is_known_and_the_first_was_awarded(memory: AuctionMemory):
    def attempt(agent: str, verdict: Verdict, dollars: float) -> Attempt:
        done = replace(execution(agent), calls=(call("execute", agent, dollars),))
        return Attempt(execution=done, outcome=outcome(verdict))

    await remember(memory, "x", "sort", (bid("a", 1.0), bid("b", 2.0), bid("c", 3.0)), verdict=None)
    earlier = (attempt("a", "failure", 1.0), attempt("b", "unknown", 2.0), attempt("c", "failure", 4.0))
    last = attempt("c", "success", 8.0)
    await memory.settle("x", last.execution, last.outcome, earlier=earlier)
    (found,) = await memory.examples()
    assert found.winner == "a"
    assert found.work == {
        "a": Worked(success=False, dollars=1.0, check="tests"),
        "c": Worked(success=True, dollars=12.0, after=("a",), check="tests"),
    }


async def test_since_some_moment(memory: AuctionMemory):
    await remember(memory, "x1", "sort")
    middle = datetime.now(UTC)
    await remember(memory, "x2", "sort")
    assert [one.auction_id for one in await memory.examples()] == ["x1", "x2"]
    assert [one.auction_id for one in await memory.examples(middle)] == ["x2"]
    assert await memory.examples(datetime.now(UTC)) == ()
    with pytest.raises(InputError, match="without a zone"):
        await memory.examples(middle.replace(tzinfo=None))


async def test_the_auction_is_paid_apart_from_the_work(memory: AuctionMemory):
    held = auction("x", Task(text="sort"), (bid("a", 1.0),))
    calls = (call("refine", dollars=0.5), call("bid", dollars=float("nan")), call("verify", dollars=7.0))
    held = replace(held, settlement=held.settlement + type(held.settlement)(calls=calls))
    await memory.begin("x", held.task)
    await memory.award(held)
    work = replace(execution(), calls=(call("execute", dollars=1.0), call("execute", dollars=2.0)))
    await memory.settle("x", work, outcome())
    await remember(memory, "free", "sort")
    (found, _) = await memory.examples()
    assert found.overhead == pytest.approx(0.52)
    assert found.work["a"].dollars == pytest.approx(3.0)


async def test_dollars_that_can_be_none_are_an_unknown_cost_everywhere(memory: AuctionMemory):
    task = Task(text="sort")
    await memory.begin("x", task)
    await memory.award(auction("x", task, (bid("a", 1.0), bid("b", 1.0))))
    strange = replace(execution("a"), calls=(call("execute", "a", float("inf")),))
    await memory.settle(
        "x", execution("b"), outcome(), earlier=[Attempt(execution=strange, outcome=outcome("failure"))]
    )
    (found,) = await memory.examples()
    assert {agent: one.dollars for agent, one in found.work.items()} == {"a": None, "b": 0.25}
    tracks = await memory.track_records(task, ("a", "b"))
    assert {agent: (one.evidence, one.costed) for agent, one in tracks.items()} == {"a": (1.0, 0.0), "b": (1.0, 1.0)}
    works = await memory.work_figures()
    assert [(one.agent, one.dollars) for one in works] == [("a", 0.0), ("b", 0.25)]


async def test_batches_and_other_peoples_records(
    memory: AuctionMemory, fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(examples, "BATCH", 3)
    for number in range(7):
        await remember(memory, f"x{number}", f"sort {number % 2}", verdict="success" if number % 3 else "failure")
    assert await memory.export(tmp_path / "all.jsonl") == 7
    async with fresh() as other:
        await other.import_(tmp_path / "all.jsonl")
        assert await other.examples() == await memory.examples()
        assert [one.auction_id for one in await other.examples()] == [f"x{number}" for number in range(7)]
        await other.forget("x3")
        assert len(await other.examples()) == 6
