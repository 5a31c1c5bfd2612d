"""What a solved task is worth as a share of the money: found by what awards cost, not by what rates seem to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.auction.attempt_order import first_to_try, next_to_try
from sale.errors import InputError
from sale.learning.attempts import follow_attempts
from sale.learning.dataset import CompletedOutcomes, Table, tabulate
from sale.learning.decision import BidPredictions, predict_bids
from sale.learning.fit import fit
from sale.learning.missing_outcomes import complete
from sale.learning.samples import rate_posteriors, work_costs
from sale.learning.spending import (
    MatchBestAgent,
    SpendCurve,
    SpendShare,
    best_agent_cost,
    best_agent_price,
    spend_curve,
    worth_of,
)
from sale.learning.utility import success_models
from sale.types import Bid, CheckErrors, Example, Weights, Worked
from tests.learning.pools import Pool, auctions, bid, seen_by_market

Awards = tuple[Table, BidPredictions, CompletedOutcomes]


def awards(count: int = 300, pool: Pool | None = None, *, checked: bool = False) -> Awards:
    table = tabulate([replace(one, checked=checked) for one in auctions(count, pool)])
    (model,) = success_models(table, (0.1,))
    return table, predict_bids(table, model), complete(table, np.zeros(len(table), np.intp))


def worth(wanted: SpendShare | MatchBestAgent, found: Awards) -> float:
    return worth_of(wanted, spend_curve(*found, wanted.attempts))


def spent(found: Awards, worth: float, attempts: int = 1) -> float:
    table, expected, completed = found
    return float(follow_attempts(expected, completed, table.checked, worth, attempts).dollars.mean())


@pytest.mark.parametrize("count", [12, 60, 600])
def test_what_the_best_agent_costs_is_a_mean_over_who_may_be_the_best(count: int) -> None:
    table = tabulate(auctions(count, Pool(spread=0.2)))
    drawn = np.random.default_rng(0).beta(*rate_posteriors(table), size=(200_000, len(table.agents)))
    likely = np.bincount(drawn.argmax(axis=1), minlength=len(table.agents)) / len(drawn)
    assert best_agent_cost(table) * 1e6 == pytest.approx(likely @ work_costs(table)[0], rel=0.01)


@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5])
def test_work_costs_the_share(share: float, attempts: int) -> None:
    found = awards(checked=True)
    value = worth(SpendShare(share, attempts=attempts), found)
    assert spent(found, value, attempts) == pytest.approx(share * best_agent_cost(found[0]), rel=0.03)


def test_the_first_award_costs_what_its_work_costs() -> None:
    found = awards()
    table, expected, completed = found
    own = completed.dollars[np.arange(len(table)), expected.columns(0.01)]
    assert follow_attempts(expected, completed, table.checked, 0.01, 1).dollars == pytest.approx(own)
    assert follow_attempts(expected, completed, table.checked, 0.01, 3).dollars == pytest.approx(own), (
        "no failure is found out"
    )


@given(
    chances=st.lists(st.lists(st.floats(0.05, 0.95), min_size=4, max_size=4), min_size=1, max_size=4),
    costs=st.lists(st.integers(1, 60), min_size=4, max_size=4, unique=True),
    solved=st.lists(st.booleans(), min_size=16, max_size=16),
    spread=st.floats(0.0, 3.0),
    worth=st.floats(20.0, 200.0),
    attempts=st.integers(2, 4),
)
@settings(max_examples=200, deadline=None)
def test_attempts_are_the_markets_own(
    chances: list[list[float]], costs: Sequence[float], solved: list[bool], spread: float, worth: float, attempts: int
) -> None:
    costs = [cost + 0.0137 for cost in costs]  # round ones make plans of no worth at all
    count = len(chances)
    success = np.array(solved[: 4 * count], np.float64).reshape(count, 4)
    dollars = np.tile(np.array(costs) / 1e6, (count, 1))
    expected = replace(
        BidPredictions.blank((count, 4)),
        chance=np.array(chances),
        works=dollars * 1e6,
        difficulty=np.full(count, spread),
    )
    blank = np.full((count, 4), np.nan)
    done = CompletedOutcomes(success=success, dollars=dollars, guess=blank, average=blank, notes=())
    found = follow_attempts(expected, done, np.ones(count, np.bool_), worth / 1e6, attempts).dollars
    for row, own in enumerate(chances):
        assert found[row] == pytest.approx(_by_the_market(own, costs, success[row], spread, worth, attempts))


def _by_the_market(
    chances: list[float], costs: Sequence[float], success: np.ndarray, spread: float, worth: float, attempts: int
) -> float:
    """What one task costs in dollars, bid by bid."""
    model = replace(success_models(tabulate(auctions(20)), (0.1,))[0], worth=worth, difficulty=spread)
    weights = Weights(cost=1.0, entropy=0.0, jurors={}, model=model)
    bids = [
        replace(bid(str(place), 1.0), cost=cost, value=worth * chance, chance=chance)
        for place, (chance, cost) in enumerate(zip(chances, costs, strict=True))
    ]
    tried: list[str] = []
    trying: Bid | None = first_to_try(bids, model, attempts)
    while trying is not None:
        tried.append(trying.agent)
        left = attempts - len(tried)
        done = bool(success[int(trying.agent)]) or left == 0
        trying = None if done else next_to_try(bids, tried, weights, left)
    return sum(costs[int(agent)] for agent in tried) / 1e6


def test_more_money_makes_a_solved_task_worth_more_in_any_unit_of_it() -> None:
    found, dear = awards(), awards(pool=Pool(price_scale=1e3))
    worths = [worth(SpendShare(share), found) for share in (0.2, 0.4, 0.6, 0.8)]
    assert worths == sorted(worths)
    assert worth(SpendShare(0.4), dear) == pytest.approx(1e3 * worths[1])


def test_where_the_likeliest_agents_cost_less_nothing_is_gained_by_more() -> None:
    """A worth without bounds would make every auction look worth holding."""
    found = awards()
    value = worth(SpendShare(5.0), found)
    table, expected, _ = found
    likeliest = np.where(table.present, expected.chance, -1.0).argmax(axis=1)
    everybody = spent(found, 1e3 * value)
    assert (expected.columns(1e3 * value) == likeliest).all()
    assert 0.98 * everybody <= spent(found, value) < everybody
    assert value == pytest.approx(worth(SpendShare(50.0), found))


def test_where_even_the_cheapest_cost_more_they_are_chosen() -> None:
    found = awards()
    cheapest = np.argmin(found[1].works, axis=1)
    assert (found[1].columns(worth(SpendShare(1e-6), found)) == cheapest).all()


def test_where_all_work_is_free_success_is_all_that_counts() -> None:
    found = awards(40, Pool(price_scale=0.0))
    value = worth(SpendShare(0.5), found)
    assert value > 0.0
    assert (found[1].columns(value) == np.argmax(found[1].chance, axis=1)).all()


@pytest.mark.parametrize(
    "wanted", [MatchBestAgent(), MatchBestAgent(3), SpendShare(0.5), SpendShare(1.0), SpendShare(9.0)], ids=str
)
def test_no_single_task_and_no_rounding_decides_what_a_solved_task_is_worth(
    wanted: SpendShare | MatchBestAgent,
) -> None:
    """Read off one step it would: who is hired last, for the least gain in P̂, has any worth at all."""
    table, expected, completed = awards(150, Pool(shared=0.2), checked=True)
    value = worth(wanted, (table, expected, completed))
    rng = np.random.default_rng(1)
    for size, moved in ((1e-5, 0.005), (1e-3, 0.15)):
        noise = size * rng.uniform(-1.0, 1.0, expected.chance.shape)
        disturbed = replace(expected, chance=np.clip(expected.chance + noise, 0.001, 0.999))
        assert worth(wanted, (table, disturbed, completed)) == pytest.approx(value, rel=moved)
    for left_out in range(0, 150, 30):
        rows = np.arange(150) != left_out
        some = replace(table.take(rows), group=np.arange(149))
        fewer = expected.take(rows)
        done = completed.take(rows)
        assert worth(wanted, (some, fewer, done)) == pytest.approx(value, rel=0.25)


def test_auctions_of_one_task_are_drawn_together() -> None:
    """Three auctions of each task say no more of other tasks than one, and nothing else."""
    once = awards(60, Pool(shared=0.2), checked=True)
    rows = np.repeat(np.arange(60), 3)
    table, expected, completed = once
    thrice = (
        table.take(rows),
        expected.take(rows),
        completed.take(rows),
    )
    curve = spend_curve(*once, 2)
    as_sure = replace(spend_curve(*thrice, 2), alone=curve.alone)
    for wanted in (MatchBestAgent(2, beyond=0.0), SpendShare(0.5, 2)):
        assert worth_of(wanted, as_sure) == pytest.approx(worth_of(wanted, curve), rel=1e-6)


@pytest.mark.parametrize("seen", [False, True], ids=["everybody's outcomes", "the winners' alone"])
def test_a_fit_spends_its_share_on_tasks_it_has_not_seen(seen: bool) -> None:
    records = seen_by_market(auctions(400)) if seen else auctions(400)
    found = fit(records, "utility", worth=SpendShare(0.4))
    alone, overhead = best_agent_cost(tabulate(records)), 1e-6
    assert found.training.held_out["dollars"][0] - overhead == pytest.approx(0.4 * alone, rel=0.02)
    assert found.training.settings["spend"] == 0.4
    assert found.weights.model is not None
    assert found.weights.model.worth == pytest.approx(1e6 * float(found.training.settings["worth"]))
    assert any("cost 40% of what the best agent" in note for note in found.training.notes)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_match_solves_as_many_as_the_best_agent_for_less(attempts: int) -> None:
    """Bids tell a good deal here: the market does better than its best agent where it spends as much."""
    found = awards(600, Pool(shared=0.2), checked=True)
    table, expected, completed = found
    best = max(float(completed.success[table.author == agent].mean()) for agent in range(len(table.agents)))
    value = worth(MatchBestAgent(attempts, beyond=0.0), found)
    assert best <= follow_attempts(expected, completed, table.checked, value, attempts).success.mean() <= best + 0.05
    assert spent(found, value, attempts) < 0.8 * best_agent_cost(table)


def test_where_nothing_tells_a_match_spends_what_the_best_agent_would() -> None:
    """Three times as many bids that say nothing: no cheaper choice is sure to do as well."""
    found = awards(200, Pool(shared=1.0, noise=9.0, entropy=0.0, spread=2.0))
    assert spent(found, worth(MatchBestAgent(beyond=0.0), found)) == pytest.approx(
        spent(found, worth(SpendShare(1.0), found)), rel=0.05
    )


def test_both_objectives_that_know_a_worth_find_the_same() -> None:
    records = auctions(120)
    assert fit(records, "margin").worth == fit(records, "utility").worth
    assert fit(records, "minmax").worth is None


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        SpendShare(share)
    with pytest.raises(InputError, match="attempts"):
        SpendShare(0.5, attempts=0)


def one_step(tasks: int = 200, *, alone: float = 1.0) -> tuple[SpendCurve, int]:
    """A curve as of a market without features, which sends all tasks on at once; and the place after the step."""
    rng = np.random.default_rng(0)
    cheap, dear = (rng.random(tasks) < 0.5).astype(float), (rng.random(tasks) < 0.75).astype(float)
    worths, step = np.geomspace(0.01, 1000.0, 200), 120
    after = np.arange(200)[:, None] >= step
    curve = SpendCurve(
        worths=worths,
        success=np.where(after, np.maximum(cheap, dear), cheap),
        dollars=np.where(after, 0.1 + 0.9 * (1.0 - cheap), 0.1) * np.ones((200, tasks)),
        agents=np.stack([cheap, dear]),
        counts=np.ones(tasks),
        alone=alone,
        price=alone / 0.75,
    )
    return curve, step


def test_a_match_takes_the_one_step_that_is_there() -> None:
    curve, step = one_step()
    value = worth_of(MatchBestAgent(2, beyond=0.0), curve)
    assert value == pytest.approx(curve.worths[step], rel=0.05)
    assert value > curve.worths[step - 1]


def test_a_match_leaves_a_step_that_costs_more_than_the_best_agent() -> None:
    curve, step = one_step(alone=0.3)
    assert worth_of(MatchBestAgent(2, beyond=0.0), curve) < curve.worths[step - 1]


def test_what_the_best_agent_pays_for_a_solved_task() -> None:
    table = tabulate(auctions(600, Pool(spread=0.2)))
    good, bad = rate_posteriors(table)
    drawn = np.random.default_rng(0).beta(good, bad, size=(200_000, len(table.agents)))
    likely = np.bincount(drawn.argmax(axis=1), minlength=len(table.agents)) / len(drawn)
    expected = (likely @ work_costs(table)[0]) / (likely @ (good / (good + bad)))
    assert best_agent_price(table) * 1e6 == pytest.approx(expected, rel=0.01)


def test_a_solved_task_more_is_worth_so_many_times_what_the_best_agent_pays_for_one() -> None:
    curve, _ = one_step()
    match = worth_of(MatchBestAgent(2, beyond=0.0), curve)
    assert worth_of(MatchBestAgent(2, beyond=0.5 * match / curve.price), curve) == match
    assert worth_of(MatchBestAgent(2, beyond=2.0 * match / curve.price), curve) == pytest.approx(2.0 * match)


def two_kinds(count: int) -> list[Example]:
    """A coder for one kind of task, a dearer librarian for the other, a cheap clerk; a juror sees who is able."""
    able = {"coder": (0.8, 0.02), "librarian": (0.02, 0.7), "clerk": (0.3, 0.3)}
    dollars = {"coder": 1e-5, "librarian": 4e-5, "clerk": 2e-6}
    rng = np.random.default_rng(0)
    found: list[Example] = []
    for number in range(count):
        chances = {agent: kinds[number % 2] for agent, kinds in able.items()}
        seen = {agent: {"good": float(np.clip(5 * chance + rng.normal(), 0, 5))} for agent, chance in chances.items()}
        found.append(
            Example(
                auction_id=f"auction {number}",
                task=f"task {number}",
                bids=tuple(bid(agent, points=points) for agent, points in seen.items()),
                winner="coder",
                work={
                    agent: Worked(success=bool(rng.random() < chance), dollars=dollars[agent])
                    for agent, chance in chances.items()
                },
                overhead=0.0,
            )
        )
    return found


def test_where_no_agent_is_good_at_all_kinds_a_match_stops_short_and_going_beyond_it_does_not() -> None:
    """Two kinds of task, an agent for each: as many as the better one alone is half of what can be had."""
    table = tabulate(two_kinds(400))
    (model,) = success_models(table, (0.1,))
    found = table, predict_bids(table, model), complete(table, np.zeros(len(table), np.intp))
    curve = spend_curve(*found, 1)
    solved_match, spent_match, _ = done(found, worth_of(MatchBestAgent(beyond=0.0), curve))
    solved, spent, _ = done(found, worth_of(MatchBestAgent(beyond=4.0), curve))
    assert solved > solved_match + 0.1
    assert (spent - spent_match) / (solved - solved_match) < 4.0 * best_agent_price(table)


@pytest.mark.parametrize("beyond", [-1.0, float("nan"), float("inf")])
def test_a_multiple_that_is_none_is_refused(beyond: float) -> None:
    with pytest.raises(InputError, match="beyond"):
        MatchBestAgent(beyond=beyond)


def dear_auctions(dollars: float) -> Awards:
    """Auctions that cost so much, in a pool whose bids tell a good deal and whose agents are all worth their money."""
    pool = Pool(shared=0.2, spread=1.2)
    table = tabulate([replace(one, overhead=dollars) for one in auctions(400, pool)])
    (model,) = success_models(table, (0.1,))
    return table, predict_bids(table, model), complete(table, np.zeros(len(table), np.intp))


def done(found: Awards, worth: float) -> tuple[float, float, float]:
    """Share of tasks solved, dollars a task and share auctioned, if auctions are held where they pay."""
    table, expected, completed = found
    held = expected.pays(worth)
    columns, rows = expected.without_auctions(~held).columns(worth), np.arange(len(table))
    spent = completed.dollars[rows, columns] + held * table.overhead
    return float(completed.success[rows, columns].mean()), float(spent.mean()), float(held.mean())


def test_a_curve_follows_what_is_done_at_each_worth() -> None:
    found = dear_auctions(2e-4)
    curve = spend_curve(*found, 1)
    for place in (0, 60, 120, 199):
        solved, dollars, _ = done(found, float(curve.worths[place]))
        assert curve.success[place].mean() == pytest.approx(solved)
        assert curve.dollars[place].mean() == pytest.approx(dollars)
    auctioned = [done(found, float(worth))[2] for worth in curve.worths]
    assert auctioned[0] == 0.0
    assert auctioned[-1] == 1.0
    always = spend_curve(*found, 1, "always")
    assert always.dollars[-1] + found[0].overhead == pytest.approx(curve.dollars[-1])
    assert always.dollars[-1] == pytest.approx(
        follow_attempts(*found[1:], found[0].checked, curve.worths[-1], 1).dollars
    )


@pytest.mark.parametrize("dollars", [0.0, 2e-4, 8e-4])
def test_a_match_is_reached_by_what_is_done_whatever_auctions_cost(dollars: float) -> None:
    found = dear_auctions(dollars)
    table, _, completed = found
    best = max(float(completed.success[table.author == agent].mean()) for agent in range(len(table.agents)))
    solved, spent, _ = done(found, worth_of(MatchBestAgent(beyond=0.0), spend_curve(*found, 1)))
    assert solved >= best - 0.02
    assert spent <= 1.1 * best_agent_cost(table)


def test_a_match_read_off_auctions_alone_does_not_know_what_they_cost() -> None:
    """Why the curve follows what is done: the worth that auctions would have needed pays for auctions, too."""
    found = dear_auctions(8e-4)
    _, spent, auctioned = done(
        found, worth_of(MatchBestAgent(beyond=0.0, hold="always"), spend_curve(*found, 1, "always"))
    )
    assert auctioned == 1.0
    assert spent > 1.3 * best_agent_cost(found[0])


def test_held_out_figures_count_the_auctions_that_are_held() -> None:
    records = [replace(one, overhead=8e-4) for one in auctions(200, Pool(shared=0.2, spread=1.2))]
    where_it_pays = fit(records, "utility", worth=MatchBestAgent()).training.held_out["dollars"][0]
    always = fit(records, "utility", worth=MatchBestAgent(hold="always")).training.held_out["dollars"][0]
    assert always > 8e-4 > 0.0
    assert where_it_pays < always


def test_an_explored_market_compares_agents_by_what_they_solve() -> None:
    """The rarely drawn agent's estimates lie far outside [0, 1]: cut to that, it looked better than it is."""
    whole = auctions(3000, Pool(spread=0.6))
    rates = {"small": 0.1, "middle": 0.1, "large": 0.8}
    draw = np.random.default_rng(3)
    winners = draw.choice(list(rates), size=len(whole), p=list(rates.values()))
    explored = [
        replace(one, winner=str(name), work={str(name): one.work[str(name)]}, propensities=dict(rates))
        for one, name in zip(whole, winners, strict=True)
    ]
    table = tabulate(explored)
    completed = complete(table, np.arange(len(table)) % 5)
    (model,) = success_models(table, (0.1,))
    prospects = predict_bids(table, model)
    curve = spend_curve(table, prospects, completed, 1)
    estimates = curve.agents.sum(axis=1) / len(table)
    for place, name in enumerate(table.agents):
        truth = np.mean([one.work[name].success for one in whole])
        assert estimates[place] == pytest.approx(truth, abs=3.0 * 0.5 / np.sqrt(len(whole) * rates[name]))
    # Two attempts find out nothing here, so they come to what one does, estimates below 0 and above 1 included.
    first, second = (follow_attempts(prospects, completed, table.checked, 0.01, tries) for tries in (1, 2))
    np.testing.assert_allclose(second.success, first.success)


def two_rates(count: int, *, both: bool, start: int = 0) -> list[Example]:
    """A cheap agent that solves half, and a dear one that solves nine of ten; a task has bids of both or one."""
    rng = np.random.default_rng(1)
    rates, dollars, prices = {"cheap": 0.5, "dear": 0.9}, {"cheap": 0.001, "dear": 0.02}, {"cheap": 0.1, "dear": 2.0}
    found: list[Example] = []
    for number in range(start, start + count):
        names = list(rates) if both else [list(rates)[number % 2]]
        work = {name: Worked(success=bool(rng.random() < rates[name]), dollars=dollars[name]) for name in names}
        bids = tuple(bid(name, prices[name], entropy=None) for name in names)
        found.append(Example(auction_id=f"{number}", task=f"task {number}", bids=bids, winner=names[0], work=work))
    return found


def test_a_match_needs_tasks_on_which_agents_can_be_compared() -> None:
    """Each record of imported work has one bid: every award solves it, and the best agent failed where it has none."""
    alone = two_rates(120, both=False)
    with pytest.raises(InputError, match="bids of several agents"):
        fit(alone, "utility", worth=MatchBestAgent(beyond=0.0))
    with pytest.raises(InputError, match="bids of several agents"):
        fit(alone, "utility", worth=SpendShare(0.5))
    found = fit(alone, "utility", worth=MatchBestAgent())
    assert found.worth == pytest.approx(2.0 * best_agent_price(tabulate(alone)))
    assert any("cannot be found" in note for note in found.training.notes)


def test_records_of_one_bid_do_not_make_a_match_cheap() -> None:
    together = fit(two_rates(60, both=True, start=120), "utility", worth=MatchBestAgent(beyond=0.0))
    mixed = two_rates(120, both=False) + two_rates(60, both=True, start=120)
    found = fit(mixed, "utility", worth=MatchBestAgent(beyond=0.0))
    assert together.worth is not None
    assert found.worth is not None
    # The dear agent's 40 points more cost $0.019: below this worth the cheap one is awarded everything.
    assert min(together.worth, found.worth) > 0.03


def test_an_agent_that_joined_late_did_not_fail_before() -> None:
    """It is best, and has a bid in the latest quarter: what it would have solved before is its rate."""
    old = [
        replace(
            one,
            auction_id=f"old {one.auction_id}",
            task=f"old {one.task}",
            bids=(*one.bids[:1], bid("middle", 0.2, entropy=None)),
            work={"cheap": one.work["cheap"], "middle": Worked(success=number % 5 < 3, dollars=0.002)},
        )
        for number, one in enumerate(two_rates(180, both=True))
    ]
    found = fit(old + two_rates(60, both=True), "utility", worth=MatchBestAgent(beyond=0.0))
    assert found.worth is not None
    assert found.worth > 0.03


def test_a_goal_is_found_with_the_check_that_there_is() -> None:
    """A check that passes half of all wrong answers: the cheap agent first solves less than the dear one alone."""
    records = [replace(one, checked=True) for one in two_rates(200, both=True)]
    weak = CheckErrors(false_pass=0.5)
    blind = fit(records, "utility", worth=MatchBestAgent(2, beyond=0.0))
    knowing = fit(records, "utility", worth=MatchBestAgent(2, beyond=0.0, check=weak))
    assert blind.worth is not None
    assert knowing.worth is not None
    assert knowing.worth > 1.5 * blind.worth
    table = tabulate(records)
    (model,) = success_models(table, (0.1,))
    expected, completed = predict_bids(table, model), complete(table, np.zeros(len(table), np.intp))
    curve = spend_curve(table, expected, completed, 2, "always", weak)
    for place in (0, 100, 199):
        came = follow_attempts(expected, completed, table.checked, float(curve.worths[place]), 2, weak)
        assert curve.success[place].sum() == pytest.approx(came.success.sum())
