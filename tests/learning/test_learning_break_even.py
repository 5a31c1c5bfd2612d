"""When an auction pays: on outcomes whose answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.errors import InputError
from sale.learning.break_even import RULES, BreakEven, BreakEvenMap, break_even_map
from sale.types import Example, TrackRecord, Worked
from tests.learning.pools import bid

PRICES = {"a": 1.0, "b": 1.0}
DOLLARS = 1e-4


def coin(
    count: int, *, track: TrackRecord | None = None, overhead: float = 0.0, seed: int = 0, dollars: float = DOLLARS
) -> list[Example]:
    """Two agents of one price, of which exactly one solves each task: which one, nobody can know beforehand."""
    rng = np.random.default_rng(seed)
    found: list[Example] = []
    for number in range(count):
        able = "a" if rng.random() < 0.5 else "b"
        found.append(
            Example(
                auction_id=f"{number}",
                task=f"task {number}",
                bids=tuple(bid(name, price, track=track) for name, price in PRICES.items()),
                winner="a",
                work={name: Worked(success=name == able, dollars=dollars) for name in PRICES},
                overhead=overhead,
            )
        )
    return found


def nested(count: int) -> list[Example]:
    """A cheap agent that solves half, and a dear one that solves the same and half of the rest."""
    rng = np.random.default_rng(1)
    found: list[Example] = []
    for number in range(count):
        easy, able = rng.random() < 0.5, rng.random() < 0.5
        work = {
            "small": Worked(success=bool(easy), dollars=DOLLARS / 4),
            "large": Worked(success=bool(easy or able), dollars=DOLLARS),
        }
        bids = (bid("small", 0.25), bid("large", 1.0))
        found.append(Example(auction_id=f"{number}", task=f"t{number}", bids=bids, winner="small", work=work))
    return found


def point(found: BreakEvenMap, area: float, rule: str = "best use") -> BreakEven:
    return next(one for one in found.points if one.area == area and one.rule == rule)


def test_what_a_juror_gains_between_two_coins_is_its_area() -> None:
    """Of the two bids on a task one succeeds: a juror of area p picks it with probability p, whatever the rule."""
    found = break_even_map(coin(200), (0.6, 0.9))
    assert found.router[0] == pytest.approx(0.5, abs=0.09)
    for area in (0.6, 0.9):
        for rule in RULES:
            solved = found.router[0] + point(found, area, rule).gain[0]
            assert solved == pytest.approx(area, abs=0.02)
    assert found.work[0] == pytest.approx(DOLLARS)
    assert found.work[1] == pytest.approx(DOLLARS)


def test_where_all_work_costs_the_same_money_is_saved_by_doing_fewer_tasks() -> None:
    """Solving p of the tasks one takes, half of all needs 1 / 2p of them: the auction may cost the rest."""
    found = break_even_map(coin(400), (0.9,))
    share, low, high = point(found, 0.9).break_even
    assert share == pytest.approx(1.0 - found.router[0] / 0.9, abs=0.03)
    assert low < share < high


def test_the_better_the_juror_the_dearer_an_auction_may_be_and_the_best_use_beats_the_linear_rule() -> None:
    found = break_even_map(nested(150), (0.55, 0.75, 0.95))
    for rule in RULES:
        shares = [point(found, area, rule).break_even[0] for area in (0.55, 0.75, 0.95)]
        assert shares == sorted(shares)
    assert point(found, 0.75).gain[0] > point(found, 0.75, "linear rule").gain[0]
    assert point(found, 0.55, "linear rule").break_even[0] == 0.0, "it throws the base rates away"
    assert found.spread > 1.0, "what one solves the other solves, too"
    assert found.best == "large"


def test_it_is_the_same_every_time() -> None:
    assert break_even_map(nested(40), (0.8,)) == break_even_map(nested(40), (0.8,))


def test_track_records_are_what_the_router_knows() -> None:
    """Each task's own record tells who is able: the router is right without any auction, which then gains nothing."""
    told: list[Example] = []
    for one in coin(60):
        able = next(name for name, work in one.work.items() if work.success)
        records = {
            name: TrackRecord(
                agent=name,
                successes=20.0 if name == able else 0.0,
                failures=0.0 if name == able else 20.0,
                spent=20 * DOLLARS * 1e6,
                costed=20.0,
            )
            for name in PRICES
        }
        told.append(replace(one, bids=tuple(bid(name, 1.0, track=records[name]) for name in PRICES)))
    found = break_even_map(told, (0.7,))
    assert found.router[0] == pytest.approx(1.0)
    assert point(found, 0.7).break_even == (0.0, 0.0, 0.0)


def test_where_the_winner_alone_was_seen_the_others_are_drawn() -> None:
    seen = [replace(one, work={one.winner: one.work[one.winner]}) for one in nested(80)]
    mixed = [
        replace(one, winner="large", work=full.work) if number % 2 else one
        for number, (one, full) in enumerate(zip(seen, nested(80), strict=True))
    ]
    found = break_even_map(mixed, (0.9,))
    assert found.modelled == pytest.approx(0.25)
    assert found.auctions == 80
    assert found.points[0].gain[1] <= found.points[0].gain[0] <= found.points[0].gain[2]


def test_an_agent_that_did_not_bid_is_not_awarded() -> None:
    alone = [replace(one, bids=one.bids[:1], work={"a": one.work["a"]}) for one in coin(40, seed=3)]
    both = [replace(one, task=f"other {one.task}") for one in coin(40, seed=4)]
    found = break_even_map([*alone, *both], (0.9,))
    able = sum(one.work["a"].success for one in alone) / 80
    assert found.router[0] + point(found, 0.9).gain[0] == pytest.approx(able + 0.45, abs=0.03)


def test_where_it_stands() -> None:
    free = break_even_map(coin(60), (0.6, 0.9))
    assert (free.auction, free.ratio, free.pays(0.9)) == (None, None, None)
    held = break_even_map([*coin(60, overhead=DOLLARS / 100), *coin(60)], (0.6, 0.9))
    assert held.auction is not None
    assert held.auction[0] == pytest.approx(DOLLARS / 100), "the mean of those that were held"
    assert held.ratio == pytest.approx(0.01)
    assert held.pays(0.9) is True
    assert held.pays(0.5) is False
    low, high = (point(held, area).break_even[0] for area in (0.6, 0.9))
    assert held.break_even_at(0.75) == pytest.approx((low + high) / 2)


def test_too_little_or_free_work_is_said() -> None:
    with pytest.raises(InputError, match="29 different tasks among 2 agents"):
        break_even_map(coin(29))
    with pytest.raises(InputError, match="among 1 agent:"):
        break_even_map([replace(one, bids=one.bids[:1], work={"a": one.work["a"]}) for one in coin(40)])
    with pytest.raises(InputError, match="cost nothing on record"):
        break_even_map(coin(40, dollars=0.0))


def test_a_tasks_own_outcome_does_not_tell_who_is_chosen_for_it() -> None:
    """Each of two agents solves every other task. By rates of the other tasks the one that failed was chosen."""
    halves = [
        replace(
            one,
            work={name: Worked(success=(number % 2 == 0) == (name == "a"), dollars=DOLLARS) for name in PRICES},
        )
        for number, one in enumerate(coin(60))
    ]
    found = break_even_map(halves, (0.55,))
    assert found.router[0] == pytest.approx(0.5, abs=0.06)


def test_the_best_agent_is_the_one_with_the_highest_rate() -> None:
    """With one bid a record, of past work for instance, the agent with the most records has the most successes."""
    records = [
        Example(
            auction_id=f"{name} {number}",
            task=f"{name} {number}",
            bids=(bid(name),),
            winner=name,
            work={name: Worked(success=number < good, dollars=DOLLARS)},
        )
        for name, good, count in (("cheap", 60, 120), ("dear", 36, 40))
        for number in range(count)
    ]
    assert break_even_map(records).best == "dear"
