"""The decision rules on small cases worked out by hand, and facts that must hold on any table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sale.bench.routers import carrot, wtp
from sale.bench.routers.carrot import CarrotNearest, best_k
from sale.bench.routers.fixed import AlwaysCheapest, AlwaysLargest, BestSingle, Oracle, Random, SingleAgent
from sale.bench.routers.to_router import ToRouter, soft_labels
from sale.bench.routers.tuning import TunedRouter, choose, curve, outcome
from sale.bench.routers.wtp import WtpNearest, WtpNeural
from sale.errors import InputError
from tests.bench.routers.tables import FEATURES, cascade, separable, table_of

successes = arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.sampled_from([0.0, 1.0]))


class TestWillingnessToPay:
    QUALITY = np.array([[0.5, 0.7, 0.9], [0.5, 0.5, 0.5]])
    PRICES = np.array([1.0, 2.0, 4.0])

    @pytest.mark.parametrize(
        ("willingness", "chosen"),
        [(0.0, [0, 0]), (4.9, [0, 0]), (5.1, [1, 0]), (9.9, [1, 0]), (10.1, [2, 0]), (np.inf, [2, 0])],
    )
    def test_by_hand(self, willingness: float, chosen: list[int]) -> None:
        # From 0.5 to 0.7 for one dollar more: worth it above 5. From 0.7 to 0.9 for two more: above 10.
        assert list(wtp.decide(self.QUALITY, self.PRICES, willingness)) == chosen

    def test_knob_changes_the_decision_not_what_was_learnt(self) -> None:
        train = separable(40, 1)
        router = WtpNearest(FEATURES, k=5)
        router.fit(train)
        assert set(router.at(0.0).route(train).chosen) == {0}
        assert len(set(router.route(train).chosen)) > 1

    def test_negative_willingness_is_refused(self) -> None:
        with pytest.raises(InputError, match="must not be negative"):
            WtpNeural(FEATURES, willingness=-1.0)


class TestCarrot:
    @pytest.mark.parametrize(("mu", "chosen"), [(0.0, 1), (0.4, 1), (0.6, 0), (1.0, 0)])
    def test_by_hand(self, mu: float, chosen: int) -> None:
        # Failure 0.8 at cost 0 against failure 0 at cost 0.8: even at one half.
        assert list(carrot.decide(np.array([[0.2, 1.0]]), np.array([[0.0, 0.8]]), mu)) == [chosen]

    def test_cost_is_predicted_for_each_task(self) -> None:
        train = separable(60, 5)
        fruit = np.array([text.split()[0] in {"apple", "pear", "plum", "fig"} for text in train.texts])
        train.dollars[:] = np.where(fruit, 10.0, 1.0)[:, None]
        router = CarrotNearest(FEATURES)
        router.fit(train)
        _, dollars = router.predict(train)
        assert dollars[fruit].min() > dollars[~fruit].max()

    def test_as_many_neighbours_as_tell_the_most(self) -> None:
        # Two clusters of 8, told apart by outcome: with 2 to 4 neighbours there is no error, with 16 it is all noise.
        features = np.repeat([[1.0, 0.0], [0.0, 1.0]], 20, axis=0)
        assert best_k(features, np.repeat([[0.0], [1.0]], 20, axis=0)) == 2
        rng = np.random.default_rng(0)
        noise = rng.integers(2, size=(200, 1)).astype(float)
        assert best_k(rng.normal(size=(200, 3)), noise) >= 32, "where nothing is to be told the mean is best"
        assert best_k(features[:1], noise[:1]) == 1

    @pytest.mark.parametrize("mu", [-0.1, 1.1, np.nan])
    def test_mu_is_a_share(self, mu: float) -> None:
        with pytest.raises(InputError, match="between 0 and 1"):
            CarrotNearest(FEATURES, mu=mu)


class TestSoftLabels:
    def test_by_hand(self) -> None:
        labels = soft_labels(np.array([[0.0, 1.0, 1.0], [0.4, 0.5, 0.2]]))
        assert labels[0] == pytest.approx([np.exp(-10) / (2 + np.exp(-10))] + [1 / (2 + np.exp(-10))] * 2)
        assert labels[1] == pytest.approx(np.exp([4, 5, 2]) / np.exp([4, 5, 2]).sum())

    def test_where_all_are_alike(self) -> None:
        alike = np.array([[1.0, 1.0], [0.0, 0.0]])
        assert soft_labels(alike).tolist() == [[1, 0], [1, 0]]
        assert soft_labels(alike, "uniform").tolist() == [[0.5, 0.5], [0.5, 0.5]]

    def test_nearest_variant_copies_the_most_similar_task(self) -> None:
        train = table_of([[0, 1], [1, 0], [0, 1]])
        router = ToRouter(FEATURES, variant="nearest")
        router.fit(train)
        assert list(router.route(train).chosen) == [1, 0, 1]


class TestFixed:
    TABLE = table_of([[0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 0]])

    def test_oracle_by_hand(self) -> None:
        routing = Oracle().route(self.TABLE)
        assert list(routing.chosen) == [2, 1, 0, 0]
        success, dollars = outcome(routing, self.TABLE)
        assert success.tolist() == [1, 1, 0, 1]
        assert dollars.tolist() == [3, 2, 1, 1], "the failure is paid for"

    def test_best_single_and_its_ties(self) -> None:
        router = BestSingle()
        router.fit(self.TABLE)
        assert set(router.route(self.TABLE).chosen) == {2}
        router.fit(table_of([[0, 1, 0], [0, 0, 1]]))
        assert set(router.route(self.TABLE).chosen) == {1}

    def test_ends_of_the_pool(self) -> None:
        assert set(AlwaysCheapest().route(self.TABLE).chosen) == {0}
        assert set(AlwaysLargest().route(self.TABLE).chosen) == {2}
        assert set(SingleAgent("agent-1").route(self.TABLE).chosen) == {1}

    def test_random_draws_all_alike(self) -> None:
        table = table_of(np.zeros((3000, 3)))
        shares = np.bincount(Random(seed=1).route(table).chosen, minlength=3) / 3000
        assert shares == pytest.approx([1 / 3] * 3, abs=0.03)
        assert not np.array_equal(Random(seed=1).route(table).chosen, Random(seed=2).route(table).chosen)

    @given(successes)
    def test_nobody_beats_the_oracle_and_nobody_is_as_good_for_less(self, success: np.ndarray) -> None:
        table = table_of(success)
        best, cost = outcome(Oracle().route(table), table)
        for agent in range(success.shape[1]):
            alone, paid = outcome(SingleAgent(agent).route(table), table)
            assert np.all(alone <= best)
            assert np.all((alone < best) | (cost <= paid))


class TestChoosing:
    def test_success_first(self) -> None:
        success = np.array([[1.0] * 20, [0.0] * 20])
        assert choose(success, np.array([[9.0] * 20, [1.0] * 20])) == 0

    def test_then_cost_where_the_difference_is_within_its_error(self) -> None:
        better = np.array([1.0] * 20)
        worse = better.copy()
        worse[0] = 0.0  # one task: a difference of 0.05 with an error of 0.05
        assert choose(np.stack([better, worse]), np.array([[2.0] * 20, [1.0] * 20])) == 1
        worse[1] = 0.0  # two tasks: 0.1 with an error of 0.069
        assert choose(np.stack([better, worse]), np.array([[2.0] * 20, [1.0] * 20])) == 0

    def test_the_wider_rule_forgives_more(self) -> None:
        half = np.array([1.0, 0.0] * 10)
        worse = half.copy()
        worse[[0, 2]] = 0.0
        dollars = np.array([[2.0] * 20, [1.0] * 20])
        assert choose(np.stack([half, worse]), dollars) == 0
        assert choose(np.stack([half, worse]), dollars, paired=False) == 1

    def test_ties_go_to_the_cheaper_then_the_first(self) -> None:
        success = np.ones((3, 4))
        assert choose(success, np.array([[2.0] * 4, [1.0] * 4, [1.0] * 4])) == 1

    def test_curve_has_one_point_for_each_setting(self) -> None:
        train, test = separable(40, 1), separable(30, 2)
        router = WtpNearest(FEATURES, k=5)
        points = curve(router, train, test)
        assert [point.knob for point in points] == list(router.grid(train))
        assert points[0].dollars == pytest.approx(test.dollars[:, 0].mean()), "who pays nothing gets the cheapest"
        assert points[-1].success > points[0].success

    @pytest.mark.parametrize("router", [WtpNearest(FEATURES), CarrotNearest(FEATURES), cascade()])
    def test_a_sweep_is_what_each_setting_does(self, router: WtpNearest) -> None:
        train, test = separable(20, 1), separable(10, 2)
        router.fit(train)
        knobs = [float(knob) for knob in router.grid(train)][::7]
        for knob, routing in zip(knobs, router.sweep(test, knobs), strict=True):
            assert np.array_equal(routing.called, router.at(knob).route(test).called)

    def test_a_router_on_the_hull_of_its_curve(self) -> None:
        """What is tuned does no worse, cross-validated, than the best single agent less the error allowed."""
        train = separable(60, 6)
        router = TunedRouter("WTP", [WtpNearest(FEATURES, k=5)])
        router.fit(train)
        assert router.setting is not None
        assert router.setting.success is not None
        assert router.setting.success >= train.success.mean(axis=0).max()

    def test_nothing_to_tune(self) -> None:
        with pytest.raises(InputError, match="nothing to tune"):
            TunedRouter("WTP", [])
