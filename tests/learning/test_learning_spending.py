"""What a solved task is worth as a share of the money: found by what awards cost, not by what rates seem to be."""

from __future__ import annotations

import numpy as np
import pytest

from sale.errors import InputError
from sale.learning.choosing import Prospects, prospects
from sale.learning.dataset import Table, tabulate
from sale.learning.fit import fit
from sale.learning.spending import Spend, best_agent_cost, worth_of_share
from sale.learning.unknowns import complete
from sale.learning.utility import rate_posteriors, success_models, work_costs
from tests.learning.pools import Pool, auctions, seen_by_market


def awards(count: int = 300, pool: Pool | None = None) -> tuple[Table, Prospects, np.ndarray]:
    table = tabulate(auctions(count, pool))
    (model,) = success_models(table, (0.1,))
    return table, prospects(table, model), complete(table, np.zeros(len(table), np.intp)).dollars


def spent(found: tuple[Table, Prospects, np.ndarray], worth: float) -> float:
    table, expected, dollars = found
    return float(dollars[np.arange(len(table)), expected.columns(worth)].mean())


@pytest.mark.parametrize("count", [12, 60, 600])
def test_what_the_best_agent_costs_is_a_mean_over_who_may_be_the_best(count: int) -> None:
    table = tabulate(auctions(count, Pool(spread=0.2)))
    drawn = np.random.default_rng(0).beta(*rate_posteriors(table), size=(200_000, len(table.agents)))
    likely = np.bincount(drawn.argmax(axis=1), minlength=len(table.agents)) / len(drawn)
    assert best_agent_cost(table) * 1e6 == pytest.approx(likely @ work_costs(table)[0], rel=0.01)


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.7])
def test_awards_cost_the_share_and_no_more(share: float) -> None:
    found = awards()
    worth, most = worth_of_share(*found, share), share * best_agent_cost(found[0])
    assert spent(found, worth) <= most
    assert spent(found, (1.0 + 1e-9) * worth) > most, "no larger worth is within it"


def test_more_money_makes_a_solved_task_worth_more_in_any_unit_of_it() -> None:
    found, dear = awards(), awards(pool=Pool(price_scale=1e3))
    worths = [worth_of_share(*found, share) for share in (0.2, 0.4, 0.6, 0.8)]
    assert worths == sorted(worths)
    assert worth_of_share(*dear, 0.4) == pytest.approx(1e3 * worths[1])


def test_where_the_likeliest_agents_cost_less_nothing_is_gained_by_more() -> None:
    """A worth without bounds would make every auction look worth holding."""
    found = awards()
    worth = worth_of_share(*found, 5.0)
    table, expected, _ = found
    likeliest = np.where(table.present, expected.chance, -1.0).argmax(axis=1)
    assert (expected.columns(worth) == likeliest).all()
    assert not (expected.columns(0.99 * worth) == likeliest).all()


def test_where_even_the_cheapest_cost_more_they_are_chosen() -> None:
    found = awards()
    cheapest = np.argmin(found[1].works, axis=1)
    assert (found[1].columns(worth_of_share(*found, 1e-6)) == cheapest).all()


def test_where_all_work_is_free_success_is_all_that_counts() -> None:
    found = awards(40, Pool(price_scale=0.0))
    worth = worth_of_share(*found, 0.5)
    assert worth > 0.0
    assert (found[1].columns(worth) == np.argmax(found[1].chance, axis=1)).all()


@pytest.mark.parametrize("seen", [False, True], ids=["everybody's outcomes", "the winners' alone"])
def test_a_fit_spends_its_share_on_tasks_it_has_not_seen(seen: bool) -> None:
    records = seen_by_market(auctions(400)) if seen else auctions(400)
    found = fit(records, "utility", worth=Spend(0.4))
    alone, overhead = best_agent_cost(tabulate(records)), 1e-6
    assert found.training.held_out["dollars"][0] - overhead == pytest.approx(0.4 * alone, rel=0.02)
    assert found.training.settings["spend"] == 0.4
    assert found.weights.model is not None
    assert found.weights.model.worth == pytest.approx(1e6 * float(found.training.settings["worth"]))
    assert any("asked for: 40%" in note for note in found.training.notes)


def test_both_objectives_that_know_a_worth_find_the_same() -> None:
    records = auctions(120)
    assert fit(records, "margin").worth == fit(records, "utility").worth
    assert fit(records, "minmax").worth is None


@pytest.mark.parametrize("share", [0.0, -1.0, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        Spend(share)
