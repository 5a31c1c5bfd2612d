"""A trial over past work: what is estimated of traffic is near the truth, and an evaluation is read as a trial is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pytest

from sale.bench.routers.protocol import Floats
from sale.bench.trial.past import PastComparison, judge_past
from sale.bench.trial.traffic import MAX_WORKS, Served, TrafficReport, judge_traffic
from sale.errors import InputError
from sale.memory.importers.past_work import PastWork
from sale.models.embedding import MiniLMEmbedder
from sale.types import Price
from tests.support.traffic import DOLLARS, RATES, TrafficLine, drawn_traffic

PRICES = {"small": Price(input=0.1, output=0.1, blended=0.1), "large": Price(input=1, output=1, blended=1)}
HOW = PastComparison(prices=PRICES, pool=("small", "large"), margin=0.05)


@lru_cache
def traffic() -> tuple[TrafficLine, ...]:
    return tuple(drawn_traffic(400))


@lru_cache
def vectors() -> Mapping[str, Floats]:
    texts = list(dict.fromkeys(line.text for line in traffic()))
    rows = asyncio.run(MiniLMEmbedder().embed(texts))
    return dict(zip(texts, np.asarray(rows, np.float64), strict=True))


def works(lines: Sequence[TrafficLine]) -> list[PastWork]:
    return [
        PastWork(
            row=str(number),
            agent=line.agent,
            task=line.text,
            verdict="success" if line.success else "failure",
            dollars=line.dollars,
            at=datetime(2026, 10, 1 + number % 28, tzinfo=UTC),
        )
        for number, line in enumerate(lines)
    ]


@lru_cache
def report_of_all() -> TrafficReport:
    report = judge_past(works(traffic()), vectors(), HOW).traffic
    assert report is not None
    return report


def test_estimates_of_traffic_cover_the_truth_where_plain_means_do_not() -> None:
    report = report_of_all()
    found = {one.way.name: one for one in report.ways}
    for agent in ("small", "large"):
        truth = (RATES[agent, "sum"] + RATES[agent, "contract"]) / 2
        own = [line.success for line in traffic() if line.agent == agent]
        estimate = found[agent].way.success
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= truth <= estimate.high
        assert abs(estimate.value - truth) < abs(np.mean(own) - truth)  # the hard tasks went to the large one
        assert found[agent].way.dollars.value == pytest.approx(DOLLARS[agent])
        low, high = found[agent].bounds
        assert low <= estimate.value <= high
        assert found[agent].known == pytest.approx(len(own) / len(traffic()))
    assert report.before.success.value == pytest.approx(np.mean([line.success for line in traffic()]))


def test_a_market_sends_sums_to_the_small_agent_and_contracts_to_the_large_one() -> None:
    report = report_of_all()
    markets = {one.way.name: one for one in report.ways if one.way.kind == "market"}
    assert list(markets) == [
        "market, as the best agent",
        "market, spending 100%",
        "market, spending 75%",
        "market, spending 50%",
    ]
    spent = [one.way.dollars.value for one in markets.values()]
    assert spent[1] > spent[2] > spent[3]
    best = markets["market, spending 100%"].way
    assert best.success.value > report.before.success.value
    assert report.recommended is not None
    assert report.recommended.way.standing == "as good"
    assert report.recommended.way.dollars.value < report.before.dollars.value


def test_the_same_work_in_another_order_gives_the_same_estimates_and_intervals() -> None:
    backward = judge_past(works(traffic()[::-1]), vectors(), HOW).traffic
    assert backward is not None
    for one, other in zip(report_of_all().ways, backward.ways, strict=True):
        assert one.way.name == other.way.name
        if one.way.kind == "agent":  # of equally similar work the market remembers the latest
            assert one.way.difference == pytest.approx(other.way.difference)
            assert one.way.success.low == pytest.approx(other.way.success.low)


def test_an_evaluation_is_known_and_not_estimated() -> None:
    lines = traffic()[:60]
    crossed = [
        TrafficLine(
            kind=line.kind, text=line.text, agent=agent, success=agent == "large" or line.kind == "sum", dollars=d
        )
        for line in lines
        for agent, d in DOLLARS.items()
    ]
    report = judge_past(works(crossed), vectors(), HOW)
    assert report.traffic is None
    assert report.evaluation is not None
    found = {way.name: way for way in report.evaluation.ways}
    assert found["small"].success.value == pytest.approx(0.5)
    assert found["large"].success.value == 1.0
    assert set(found) == {"small", "large", "market, no auctions", "market, 2 attempts"}
    assert found["market, 2 attempts"].success.value == 1.0
    assert any("nothing is known of auctions" in note for note in report.evaluation.notes)


def test_an_order_of_the_texts_says_nothing_of_agents() -> None:
    """The small agent solves what stands first in the alphabet. In that order it seems far better than it is."""
    texts = [f"{kind} {number:03}" for kind in ("add", "zip") for number in range(50)]
    drawn = np.random.default_rng(0).normal(size=(100, 8))
    made = [
        PastWork(
            row=f"{text} {agent}",
            agent=agent,
            task=text,
            verdict="success" if good else "failure",
            dollars=DOLLARS[agent],
        )
        for number, text in enumerate(texts)
        for agent, good in (("small", number < 50), ("large", number < 10 or number >= 50))
    ]
    report = judge_past(made, dict(zip(texts, drawn, strict=True)), HOW).evaluation
    assert report is not None
    found = {way.name: way for way in report.ways}
    low, high = found["small"].difference
    assert low <= -0.10 <= high
    assert found["small"].standing != "as good"


def test_the_latest_of_two_works_counts_wherever_it_stands() -> None:
    newest_first = [
        PastWork(
            row="2",
            agent=agent,
            task=f"t{number}",
            verdict="success",
            dollars=0.1,
            at=datetime(2026, 10, 9, tzinfo=UTC),
        )
        for number in range(30)
        for agent in ("small", "large")
    ]
    older = [replace(one, row="1", verdict="failure", at=datetime(2026, 1, 1, tzinfo=UTC)) for one in newest_first]
    vectors = {f"t{number}": np.eye(30)[number] for number in range(30)}
    report = judge_past([*newest_first, *older], vectors, HOW).evaluation
    assert report is not None
    assert {way.name: way for way in report.ways}["small"].success.value == 1.0


def test_an_agent_without_a_price_is_compared_by_dollars_a_task() -> None:
    """Dollars per million tokens beside dollars of a task would make one of them look a thousand times dearer."""
    renamed = [replace(one, agent={"small": "a", "large": "b"}[one.agent]) for one in works(traffic()[:200])]
    one_priced = PastComparison(prices={"b": Price(input=3, output=3, blended=3)}, pool=("b",), margin=0.05)
    traffic_report = judge_past(renamed, vectors(), one_priced).traffic
    assert traffic_report is not None
    assert [one.way.name for one in traffic_report.ways if one.way.kind == "agent"] == ["a", "b"]
    for found in traffic_report.ways:
        if found.way.kind == "agent":
            cost = {"a": DOLLARS["small"], "b": DOLLARS["large"]}[found.way.name]
            assert found.way.dollars.value == pytest.approx(cost, rel=0.1)


def test_what_is_not_known_is_said() -> None:
    some = works(traffic())
    unjudged = [*some, PastWork(row="u", agent="small", task=some[0].task)]
    strange = [PastWork(row=f"s{n}", agent="odd", task=one.task, verdict="failure") for n, one in enumerate(some[:2])]
    uncosted = [PastWork(row="c", agent="small", task=some[0].task, verdict="success")]
    report = judge_past([*unjudged, *strange, *uncosted], vectors(), HOW)
    assert report.notes == (
        "1 of 404 works left out: no outcome is known.",
        "odd is left out: it has only 2 outcomes.",
        "The cost of 1 work is not known: the mean of its agent's others stands in.",
    )
    assert report.works == 404


def test_agents_of_a_file_are_compared_among_themselves_where_the_pool_has_none_of_them() -> None:
    other = PastComparison(prices={}, pool=("mine",), margin=0.05)
    report = judge_past(works(traffic()), vectors(), other)
    assert not report.in_pool
    assert "Fewer than two of these agents are in sale.toml, so all on record are compared." in report.notes


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ([], "there is no past work"),
        ([PastWork(row="1", agent="small", task="t", verdict="failure")], "no work is known to have succeeded"),
        ([PastWork(row="1", agent="small", task="t", verdict="success", dollars=1.0)], "it takes two agents"),
    ],
)
def test_too_little_is_refused_with_what_there_is(chosen: list[PastWork], said: str) -> None:
    with pytest.raises(InputError, match=said):
        judge_past(chosen, {"t": np.ones(1)}, HOW)


def test_traffic_of_a_few_texts_is_refused_and_of_many_the_latest_are_taken() -> None:
    few = [Served(task="t", agent="small", success=True, dollars=1.0)] * 9
    with pytest.raises(InputError, match="of 1 different task"):
        judge_traffic(few, {"t": np.ones(2)}, ("small", "large"), (0.1, 1.0), 0.05)
    drawn = np.random.default_rng(0)
    texts = {str(n): row / np.linalg.norm(row) for n, row in enumerate(drawn.normal(size=(9, 3)))}
    one = [
        Served(task=str(n % 9), agent=("small", "large")[n % 2], success=n % 3 > 0, dollars=1.0)
        for n in range(MAX_WORKS + 9)
    ]
    report = judge_traffic(one, texts, ("small", "large"), (0.1, 1.0), 0.05)
    assert report.tasks == MAX_WORKS
    assert "the latest 3,000 are looked at" in report.notes[0]
