"""Learning where records are thin, programs are cut short, and weights are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.learning import heldout, logistic, minmax, utility
from sale.learning.dataset import Bools, CompletedOutcomes, Ints, Table, split, tabulate
from sale.learning.drift import drift
from sale.learning.fit import fit
from sale.learning.heldout import HeldOut, measures, training
from sale.learning.logistic import fit_logistic
from sale.learning.margin import Margin
from sale.learning.minmax import MinMax, SolverLimits, best_of, solve_minmax
from sale.learning.missing_outcomes import complete
from sale.learning.prepared_data import prepare_data
from sale.learning.refit_trigger import check_refit
from sale.learning.utility import Utility
from sale.learning.weight_terms import list_terms
from sale.types import Weights, WeightSet, Worked
from tests.learning.pools import auctions, seen_by_market


def test_bids_whose_work_nobody_saw_say_nothing_of_drift() -> None:
    """Two thirds of the bids lack an outcome here; with them or without, the findings are the same."""
    model = fit(auctions(120), "utility").weights.model
    assert model is not None
    broken = [
        replace(one, winner="large", work={"large": Worked(success=False, dollars=0.001)})
        for one in auctions(40, seed=4)
    ]
    alone = [replace(one, bids=tuple(bid for bid in one.bids if bid.agent == "large")) for one in broken]
    found = drift(broken, model)
    assert any(finding.name == "large" for finding in found)
    assert found == drift(alone, model)


def test_weights_without_a_success_model_are_due_by_new_outcomes_alone() -> None:
    old = auctions(20)
    found = fit(old, "utility")
    linear = replace(found.weights, model=None)
    used = WeightSet(version=3, weights=linear, training=found.training, made_at="2026-01-01T00:00:00+00:00")
    broken = [
        replace(one, work={agent: Worked(success=False, dollars=0.001) for agent in one.work})
        for one in auctions(8, seed=4)
    ]
    said = check_refit([*old, *broken], used, broken)
    assert (said.due, said.reasons) == (False, ("weights 3 hold: 24 outcomes since, and no drift",))


def test_an_explored_market_says_what_stands_in_for_what_it_did_not_see() -> None:
    notes = fit(seen_by_market(auctions(40), propensity=1 / 3), "utility").training.notes
    assert any("were not observed" in note for note in notes)
    assert any("doubly robust" in note for note in notes)
    assert any("its agent's average stands in" in note for note in notes)


def test_what_is_learnt_for_a_fold_has_not_seen_its_outcomes() -> None:
    """Estimates of what the market did not see, in the other folds, are made without the fold that is held out."""
    examples = seen_by_market(auctions(60), propensity=1 / 3)
    table = tabulate(examples)
    fold = split(table, 4, 0)
    own = fold == 1
    turned = [
        replace(one, work={agent: Worked(success=not work.success, dollars=9.0) for agent, work in one.work.items()})
        if held
        else one
        for one, held in zip(examples, own, strict=True)
    ]
    before, after = (training(of, fold, own) for of in (table, tabulate(turned)))
    for name in ("success", "dollars", "guess", "average"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)
    assert not np.isnan(before.guess).any()


def test_what_is_learnt_without_a_fold_is_learnt_once_for_all_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepare_data(seen_by_market(auctions(40), propensity=1 / 3), folds=2)
    calls: list[int] = []

    def count(table: Table, fold: Ints, own: Bools) -> CompletedOutcomes:
        calls.append(len(table))
        return training(table, fold, own)

    monkeypatch.setattr(heldout, "training", count)
    ready.solve(Utility(), 0.0)
    ready.solve(Margin(worth=1.0), 0.0)
    assert len(calls) == 2


def test_work_of_unknown_cost_is_not_taken_for_free() -> None:
    """Every third cost of one agent is lost: what its work costs is estimated from the others, and the fit says so."""
    whole = auctions(60)
    thinned = [
        replace(one, work={**one.work, "large": replace(one.work["large"], dollars=None)}) if number % 3 == 0 else one
        for number, one in enumerate(whole)
    ]
    before, after = (fit(examples, "utility") for examples in (whole, thinned))
    assert before.weights.model is not None
    assert after.weights.model is not None
    assert after.weights.model.work["large"] == pytest.approx(before.weights.model.work["large"], rel=0.1)
    assert after.weights.model.work["small"] == pytest.approx(before.weights.model.work["small"], rel=0.001)
    assert [note for note in after.training.notes if "its agent's average stands in" in note]
    assert not [note for note in after.training.notes if "not observed" in note], "all outcomes are known"


def test_a_fit_on_many_outcomes_says_how_many_its_folds_used(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = fit(auctions(20), "utility").training.notes
    monkeypatch.setattr(utility, "MAX_OUTCOMES", 50)
    notes = fit(auctions(20), "utility").training.notes
    assert "on folds at most 50 outcomes were used; the final fit used all" in set(notes) - set(quiet)


def test_margin_needs_a_worth() -> None:
    ready = prepare_data(auctions(20))
    with pytest.raises(ValueError, match="margin needs to know what a solved task is worth"):
        Margin().fit(ready.table, ready.completed)


def test_a_start_far_from_the_optimum_is_no_hindrance() -> None:
    """Where the curve is flat a whole step leads far beyond: it is halved until it helps."""
    x, y = np.ones((4, 1)), np.array([0.0, 1.0, 1.0, 1.0])
    found = fit_logistic(x, y, np.full(1, 1e-9), start=np.array([12.0]))
    assert found == pytest.approx([np.log(3.0)], abs=1e-6)


def test_a_fit_that_runs_out_of_steps_has_come_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, start = np.ones((4, 1)), np.array([0.0, 1.0, 1.0, 1.0]), np.array([-1.0])
    monkeypatch.setattr(logistic, "STEPS", 1)
    found = fit_logistic(x, y, np.full(1, 1e-9), start=start)
    assert abs(found[0] - np.log(3.0)) < abs(start[0] - np.log(3.0))
    assert found != pytest.approx([np.log(3.0)], abs=1e-3)


def test_a_fit_that_is_cut_short_is_still_better_than_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(60), rng.normal(size=(60, 3))])
    x[:, 3] = x[:, 2] + 0.01 * x[:, 3]
    y = (rng.random(60) < 1 / (1 + np.exp(-x[:, 1] - x[:, 2]))).astype(np.float64)
    ridge, lasso, start = np.full(4, 1e-3), np.array([0.0, 0.5, 0.5, 0.5]), np.zeros(4)
    whole = fit_logistic(x, y, ridge, lasso=lasso, start=start)
    monkeypatch.setattr(logistic, "SWEEPS", 1)
    short = fit_logistic(x, y, ridge, lasso=lasso, start=start)

    def height(at: np.ndarray) -> float:
        odds = x @ at
        loss = np.logaddexp(0.0, odds).sum() - y @ odds
        return float(loss + 0.5 * (ridge * at**2).sum() + (lasso * np.abs(at)).sum())

    assert height(whole) <= height(short) + 1e-9 < height(start)


def program(tasks: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.random((tasks, 6)) * 4, rng.random((tasks, 6, 5))


def test_polishing_that_is_cut_short_gives_a_worse_bound_and_never_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs, features = program(40)
    whole = solve_minmax(costs, features, 3.0, SolverLimits(rounds=0))
    monkeypatch.setattr(minmax, "POLISHES", 1)
    short = solve_minmax(costs, features, 3.0, SolverLimits(rounds=0))
    assert whole.worst <= short.worst + 1e-9
    assert best_of(costs, features, short.values).max() == pytest.approx(short.worst)


def test_a_program_without_time_gives_no_values_and_no_bound() -> None:
    costs, features = program(60)
    alive = np.ones(costs.shape, np.bool_)
    made = minmax._Master.of(costs, features, alive, 3.0, floor=-np.inf)
    values, bound = made.solve(SolverLimits(seconds=1e-9))
    assert values is None
    assert bound <= solve_minmax(costs, features, 3.0, SolverLimits(rounds=0)).worst


def test_linear_weights_are_shown_number_by_number() -> None:
    shown = list_terms(Weights(cost=1.0, entropy=-0.5, jurors={"a": 2.0}))
    assert [(term.label, term.value) for term in shown] == [
        ("weight: cost", 1.0),
        ("weight: entropy", -0.5),
        ("weight: track record", 0.0),
        ("per juror's point: a", 2.0),
    ]


def test_a_success_model_is_shown_in_place_of_them() -> None:
    model = fit(auctions(20), "utility").weights.model
    assert model is not None
    shown = {term.label: term.value for term in list_terms(Weights(cost=1.0, entropy=0.0, jurors={}, model=model))}
    assert shown["micro-dollars: worth of a solved task"] == model.worth
    assert shown["intercept: a newcomer"] == model.newcomer
    assert {f"intercept: {agent}" for agent in model.intercepts} < set(shown)
    assert "weight: cost" not in shown


def test_a_curve_is_drawn_once() -> None:
    ready = prepare_data(auctions(60))
    assert ready.curve(2, "always") is ready.curve(2, "always") is not ready.curve(2, "worthwhile")
    held, made = ready.models
    ready._solved[utility.Utility] = (replace(held, prospects=None), made)
    with pytest.raises(ValueError, match="prospects"):
        ready.curve(1, "always")


def test_awards_without_a_model_do_not_hang_on_what_a_solved_task_is_worth() -> None:
    held = prepare_data(auctions(60)).solve(MinMax(), 5.0)[0]
    assert held.prospects is None
    assert held.at(1.0, "worthwhile") is held


def test_of_several_dearest_agents_the_best_is_what_a_market_is_compared_with() -> None:
    """Two agents of one price, one at even tasks and one at odd: a market that takes either alone gains nothing."""
    shared = [
        replace(
            one,
            bids=tuple(replace(made, price=1.0) for made in one.bids),
            work={name: Worked(success=(number % 2 == 0) == (name == "small"), dollars=0.001) for name in one.work},
        )
        for number, one in enumerate(auctions(60))
    ]
    table = tabulate(shared)
    fold = split(table, 5, 0)
    columns = np.argmax(table.author == table.agents.index("small"), axis=1)
    held = HeldOut(setting=(), columns=columns, prospects=None, gap=0.0, auctioned=np.ones(len(table), np.bool_))
    figures, _ = measures(table, held, complete(table, fold))
    assert figures["gain"][0] == pytest.approx(0.0)
