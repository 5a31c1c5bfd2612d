"""The market with fitted weights over recorded work: what it remembers, what it tries again, what it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sale.bench.metrics import settle
from sale.bench.online import OnlinePolicy, examples_of, run
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import AuctionRow, RecordedExecution, RecordedTasks
from sale.bench.routers.protocol import Floats
from sale.bench.tasks.schema import BenchTask, HumanTime
from sale.types import Bid, Score, Strategy, SuccessModel, Weights

PRICES = {"small": 0.1, "large": 1.0}
KINDS = ("add", "mul")


def task(number: int, kind: str) -> BenchTask:
    return BenchTask(
        id=f"{kind}/{number}",
        domain="coding",
        source="own",
        split="test",
        kind="tests",
        prompt=f"{kind} {number}",
        tests="assert True",
        time=HumanTime(provenance="nobody has timed it"),
        licence="MIT",
    )


def embed(texts: Sequence[str]) -> Floats:
    """Tasks of one kind are alike, those of another are not at all."""
    return np.array([[1.0, 0.0] if text.startswith("add") else [0.0, 1.0] for text in texts])


def work(agent: str, kind: str) -> RecordedExecution:
    """The small one adds; the large one does everything, at ten times the cost."""
    return RecordedExecution(
        agent=agent,
        success=agent == "large" or kind == "add",
        judged=True,
        dollars=1e-6 if agent == "small" else 1e-5,
        tokens=10,
        seconds=1.0,
        answer=f"{agent}'s",
        error=None,
    )


def record(tasks: Sequence[BenchTask]) -> RecordedTasks:
    found = RecordedTasks(agents=("small", "large"), prices=(0.1, 1.0), tasks=list(tasks))
    for one in tasks:
        kind = one.id.split("/")[0]
        bids = tuple(
            Bid(
                strategy=Strategy(agent=agent, text="1. Do it.", tokens=10, entropy=None),
                price=price,
                cost=0.0,
                value=0.0,
                scores=(Score(juror="small", bidder=agent, value=3.0),),
            )
            for agent, price in PRICES.items()
        )
        found.auctions[FIRST_BIDS, one.id] = AuctionRow(
            task=one.id,
            position=None,
            bids=bids,
            refined=(),
            winner="small",
            strategy="1. Do it.",
            provisional="small",
            dollars=4e-6,
            first_dollars=4e-6,
            tokens=40,
            first_tokens=40,
            dropouts=(),
            paid={("bid", "small"): 1e-6, ("bid", "large"): 2e-6, ("judge", "small"): 1e-6},
        )
        for agent in PRICES:
            found.works[one.id, agent, ""] = work(agent, kind)
            found.checks[one.id, f"{agent}'s"] = "success" if work(agent, kind).success else "failure"
    return found


def weights(*, juror: float = 0.0, spread: float = 0.0, difficulty: float = 0.0, worth: float = 100.0) -> Weights:
    model = SuccessModel(
        worth=worth,
        intercepts={"small": 0.0, "large": 0.0},
        newcomer=0.0,
        rates={"small": 0.6, "large": 0.6},
        newcomer_rate=0.6,
        coefficients={"track": 1.0, **({"juror:small": juror} if juror else {})},
        means={},
        work={"small": 1.0, "large": 10.0},
        newcomer_tokens=10.0,
        spread={"small": spread, "large": spread},
        auction=4.0,
        difficulty=difficulty,
    )
    return Weights(cost=1.0, entropy=0.0, jurors={}, model=model)


DEV = record([task(number, kind) for number in range(3) for kind in KINDS])
TEST = record([task(10 + number, kind) for number in range(6) for kind in KINDS])


def test_the_track_record_sends_each_kind_to_who_can_do_it_for_less() -> None:
    found = run(TEST, DEV, OnlinePolicy(name="x", weights=weights()), embed, seed=1)
    chosen = [TEST.agents[place] for place in found.routing.chosen]
    assert chosen == ["small" if one.id.startswith("add") else "large" for one in TEST.tasks]
    assert found.held == 0.0
    assert settle((found.table(), found.routing)).success.mean() == 1.0
    assert found.routing.extra_dollars.sum() == 0.0


def test_without_a_past_it_learns_while_it_runs_or_does_not() -> None:
    blind = run(TEST, None, OnlinePolicy(name="x", weights=weights(), learn=False), embed, seed=1)
    assert set(blind.routing.chosen) == {0}, "all look alike, so the cheap one does everything"
    learning = run(TEST, None, OnlinePolicy(name="x", weights=weights()), embed, seed=1)
    rows = {one.id: place for place, one in enumerate(TEST.tasks)}
    given = {
        kind: [learning.routing.chosen[row] for name, row in rows.items() if name.startswith(kind)] for kind in KINDS
    }
    assert set(given["add"]) == {0}
    assert 1 in given["mul"]


def test_work_that_fails_the_examples_goes_to_the_next_and_both_are_paid() -> None:
    once = run(TEST, None, OnlinePolicy(name="x", weights=weights(), learn=False), embed, seed=1)
    twice = run(TEST, None, OnlinePolicy(name="x", weights=weights(), learn=False, attempts=2), embed, seed=1)
    hard = np.array([one.id.startswith("mul") for one in TEST.tasks])
    assert np.array_equal(twice.routing.chosen == 1, hard)
    assert np.array_equal(twice.routing.called.sum(axis=1), np.where(hard, 2, 1))
    for found, dollars in ((once, 1e-6), (twice, 1e-6 + 0.5 * 1e-5)):
        assert settle((found.table(), found.routing)).dollars.mean() == pytest.approx(dollars)
    hopeless = weights(difficulty=9.0, worth=20.0)
    nobody = run(TEST, None, OnlinePolicy(name="x", weights=hopeless, learn=False, attempts=2), embed, seed=1)
    assert np.array_equal(nobody.routing.called, once.routing.called), "not worth what it costs any more"


@pytest.mark.parametrize(("juror", "paid"), [(0.0, 3e-6), (0.5, 4e-6)])
def test_an_auction_is_paid_for_where_it_is_held_and_jurors_where_they_speak(juror: float, paid: float) -> None:
    found = run(TEST, DEV, OnlinePolicy(name="x", weights=weights(juror=juror), hold=True), embed, seed=1)
    assert found.held == 1.0
    assert found.routing.extra_dollars == pytest.approx(paid)
    assert found.routing.extra_tokens == pytest.approx(40 * paid / 4e-6)


def test_what_looks_cost_is_paid_whoever_judges() -> None:
    looked = replace(TEST, auctions={at: _with_looks(row) for at, row in TEST.auctions.items()})
    found = run(looked, DEV, OnlinePolicy(name="x", weights=weights(), hold=True), embed, seed=1)
    assert found.routing.extra_dollars == pytest.approx(3e-6 + 5e-6)


def _with_looks(row: AuctionRow) -> AuctionRow:
    paid = {**row.paid, ("look", "large"): 5e-6}
    return replace(row, paid=paid, dollars=sum(paid.values()), first_dollars=sum(paid.values()))


def test_bids_that_tell_much_are_asked_for() -> None:
    found = run(TEST, None, OnlinePolicy(name="x", weights=weights(juror=1.0, spread=3.0), learn=False), embed, seed=1)
    assert found.held == 1.0


def test_examples_hold_everybody_s_work_and_the_others_as_track_record() -> None:
    examples = examples_of(DEV, embed)
    assert [example.task for example in examples] == [one.prompt for one in DEV.tasks]
    for example, one in zip(examples, DEV.tasks, strict=True):
        assert [bid.agent for bid in example.bids] == ["small", "large"]
        assert example.work["large"].success
        assert example.work["small"].success == one.id.startswith("add")
        track = example.bids[0].track
        assert track is not None
        mine, other = (
            (track.successes, track.failures) if one.id.startswith("add") else (track.failures, track.successes)
        )
        assert mine == pytest.approx(2.0), "the two others of its kind, not itself"
        assert other < 0.001
