"""The published equations, figure by figure."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sale.auction import scoring
from sale.types import NOTHING_TO_READ, Score, SuccessModel, TrackRecord
from tests.support.builders import bid, price, score, strategy, vote, weights


class TestCost:
    def test_is_price_times_length_times_weight(self) -> None:
        assert scoring.cost_of(strategy(tokens=300), 0.5, weights(cost=2.0)) == 300.0

    def test_is_nothing_where_tokens_are_free(self) -> None:
        assert scoring.cost_of(strategy(tokens=300), 0.0, weights()) == 0.0


class TestValue:
    def test_adds_entropy_and_every_jurors_score(self) -> None:
        scores = [score("x", "a", 4), score("y", "a", 1)]
        value, notes = scoring.value_of(strategy(entropy=0.25), scores, weights({"x": 10.0, "y": 100.0}, entropy=8.0))
        assert value == 8.0 * 0.25 + 10.0 * 4 + 100.0 * 1
        assert notes == ()

    def test_a_juror_without_a_weight_weighs_nothing(self) -> None:
        value, _ = scoring.value_of(strategy(entropy=0.0), [score("stranger", "a", 5)], weights({"x": 1.0}))
        assert value == 0.0

    def test_entropy_may_count_against_a_bid(self) -> None:
        value, _ = scoring.value_of(strategy(entropy=0.5), [], weights(entropy=-4.0))
        assert value == -2.0

    def test_unknown_entropy_leaves_the_term_out_and_keeps_the_ceiling(self) -> None:
        w = weights({"x": 1.0, "y": 2.0}, entropy=5.0)
        full, notes = scoring.value_of(strategy(), [score("x", "a", 5), score("y", "a", 5)], w)
        assert full == pytest.approx(5.0 + 5 * (1.0 + 2.0))
        half, _ = scoring.value_of(strategy(), [score("x", "a", 2.5), score("y", "a", 2.5)], w)
        assert half == pytest.approx(full / 2)
        assert notes == ("entropy unknown (no log-probabilities): left out, and the jury counts 1.33 times as much",)

    def test_the_note_says_why_entropy_is_unknown(self) -> None:
        unknown = replace(strategy(), entropy_note="the endpoint gives none")
        _, notes = scoring.value_of(unknown, [score("x", "a", 1)], weights({"x": 1.0}, entropy=1.0))
        assert "the endpoint gives none" in notes[0]

    def test_unknown_entropy_without_a_weight_changes_nothing(self) -> None:
        assert scoring.value_of(strategy(), [score("x", "a", 3)], weights({"x": 2.0})) == (6.0, ())

    def test_unknown_entropy_of_negative_weight_scales_nothing(self) -> None:
        value, notes = scoring.value_of(strategy(), [score("x", "a", 3)], weights({"x": 2.0}, entropy=-7.0))
        assert value == 6.0
        assert len(notes) == 1

    def test_unknown_entropy_and_no_juror_that_weighs(self) -> None:
        assert scoring.value_of(strategy(), [score("x", "a", 5)], weights(entropy=7.0))[0] == 0.0
        assert scoring.value_of(strategy(), [], weights({"x": 1.0}, entropy=7.0))[0] == 0.0

    def test_weigh_puts_it_all_into_the_bid(self) -> None:
        scores = [score("x", "a", 4)]
        made = scoring.weigh(strategy(tokens=10), 3.0, scores, weights({"x": 2.0}, entropy=1.0))
        assert (made.price, made.cost, made.value) == (3.0, 30.0, pytest.approx(4 * 2.0 * 1.1))
        assert made.net_cost == made.cost - made.value
        assert made.scores == tuple(scores)
        assert made.agent == "a"
        assert made.notes


class TestDefaultWeights:
    def test_are_in_proportion_to_the_highest_price(self) -> None:
        w = scoring.default_weights({"a": price(0.5), "b": price(2.0)}, ["a", "b"])
        worth = 2.0 * 200 * 2.0
        assert (w.cost, w.source) == (1.0, "default")
        assert w.entropy == pytest.approx(0.1 * worth)
        assert w.jurors == pytest.approx({"a": 0.9 * worth / 5 / 2, "b": 0.9 * worth / 5 / 2})

    def test_full_marks_and_full_entropy_are_worth_two_plans_at_the_highest_price(self) -> None:
        w = scoring.default_weights({"a": price(3.0)}, ["a", "b", "c"])
        value, _ = scoring.value_of(strategy(entropy=1.0), [score(j, "a", 5) for j in "abc"], w)
        assert value == pytest.approx(2 * 200 * 3.0)

    def test_where_all_is_free_the_jury_still_counts(self) -> None:
        w = scoring.default_weights({"a": price(0.0)}, ["a"])
        assert w.jurors["a"] == pytest.approx(0.9 * 400 / 5)

    def test_a_point_for_what_was_found_counts_ten_times_as_much_as_one_for_a_plan(self) -> None:
        w = scoring.default_weights({"a": price(1.0)}, ["rubric", "match", "reader"], evidence=["match", "reader"])
        point = 0.9 * 400 / 5
        assert w.jurors == pytest.approx({"rubric": point, "match": 5 * point, "reader": 5 * point})

    def test_who_found_what_is_needed_gets_the_task_before_the_cheap_who_did_not_look(self) -> None:
        prices = {"librarian": price(0.9), "generalist": price(0.03)}
        w = scoring.default_weights(prices, ["match"], evidence=["match"])
        unseen = Score(juror="match", bidder="generalist", value=2.5, imputed=True)

        def winner(found: float) -> str:
            given = {"librarian": score("match", "librarian", found), "generalist": unseen}
            bids = [scoring.weigh(strategy(a, text="", tokens=0), prices[a].blended, [given[a]], w) for a in prices]
            return scoring.provisional_winner(bids).agent

        assert (winner(3.0), winner(2.6), winner(1.0)) == ("librarian", "generalist", "generalist")

    def test_without_a_jury_or_a_pool(self) -> None:
        assert scoring.default_weights({"a": price(1.0)}, []).jurors == {}
        assert scoring.default_weights({}, []).entropy == pytest.approx(40.0)


class TestBaseRates:
    GOOD = TrackRecord(agent="a", successes=8.0, failures=0.0, spent=0.0, costed=0.0)

    def test_a_rate_is_smoothed_to_one_half(self) -> None:
        assert scoring.success_rate(None) == 0.5
        assert scoring.success_rate(replace(self.GOOD, successes=0.0)) == 0.5
        assert scoring.success_rate(self.GOOD) == pytest.approx(10 / 12)
        assert scoring.success_rate(replace(self.GOOD, successes=0.0, failures=8.0)) == pytest.approx(2 / 12)

    def test_value_moves_by_the_rate_above_one_half(self) -> None:
        plain = scoring.weigh(strategy(), 1.0, [], weights())
        counted = replace(weights(), track=90.0)
        assert scoring.weigh(strategy(), 1.0, [], counted).value == plain.value
        assert scoring.weigh(strategy(), 1.0, [], counted, self.GOOD).value == pytest.approx(plain.value + 30.0)
        assert scoring.weigh(strategy(), 1.0, [], weights(), self.GOOD).value == plain.value

    def test_the_prior_counts_them_unless_told_not_to(self) -> None:
        prices = {"a": price(1.0)}
        assert scoring.default_weights(prices, ["a"]).track == pytest.approx(8 * 400)
        assert scoring.default_weights(prices, ["a"], base_rates=False).track == 0.0

    def test_a_weight_that_is_no_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match="track"):
            replace(weights(), track=float("nan"))


class TestRank:
    def test_smallest_net_cost_first(self) -> None:
        bids = [bid("a", cost=5, value=1), bid("b", cost=9, value=8), bid("c", cost=2, value=0)]
        assert [b.agent for b in scoring.rank(bids)] == ["b", "c", "a"]

    def test_a_tie_goes_to_the_cheaper_then_to_the_name(self) -> None:
        bids = [bid("d", price=2), bid("c", price=1), bid("b", price=1), bid("a", price=3)]
        assert [b.agent for b in scoring.rank(bids)] == ["b", "c", "d", "a"]

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_a_bid_that_is_no_number_comes_last(self, order: str) -> None:
        bids = {"a": bid("a", cost=math.nan), "b": bid("b", cost=1e9, price=9)}
        assert scoring.provisional_winner([bids[name] for name in order]).agent == "b"

    def test_no_bid_is_a_programming_error(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            scoring.provisional_winner([])


class TestRefinementRules:
    def test_only_strictly_cheaper_agents_may_refine(self) -> None:
        leader = bid("lead", price=2.0)
        bids = [bid("same", price=2.0), leader, bid("less", price=1.9), bid("more", price=2.1), bid("free", price=0)]
        assert [b.agent for b in scoring.may_refine(bids, leader)] == ["less", "free"]

    def test_nobody_refines_where_the_cheapest_leads(self) -> None:
        leader = bid("lead", price=1.0)
        assert scoring.may_refine([leader, bid("b", price=1.0), bid("c", price=5.0)], leader) == ()

    def test_the_best_refined_bid_takes_the_task(self) -> None:
        leader = bid("lead", cost=10)
        good, better = bid("g", cost=9, refined=True), bid("b", cost=8, refined=True)
        assert scoring.award(leader, [good, better]) is better

    def test_an_equal_refined_bid_does_not(self) -> None:
        leader = bid("lead", cost=10)
        assert scoring.award(leader, [bid("a", cost=10, refined=True)]) is leader
        assert scoring.award(leader, []) is leader

    def test_a_refined_bid_that_nobody_scored_does_not(self) -> None:
        leader = bid("lead", cost=10, scores=(score("x", "lead", 2),))
        unseen = bid("a", cost=1, scores=(score("x", "a", 2.5, imputed=True),), refined=True)
        seen = bid("b", cost=5, scores=(score("x", "b", 3, imputed=True), score("y", "b", 3)), refined=True)
        assert scoring.award(leader, [unseen]) is leader
        assert scoring.award(leader, [unseen, seen]) is seen

    def test_without_a_jury_a_refined_bid_may_win(self) -> None:
        better = bid("a", cost=1, refined=True)
        assert scoring.award(bid("lead", cost=10), [better]) is better


class TestImpute:
    def test_a_missing_vote_becomes_the_mean_of_the_others_on_the_same_strategy(self) -> None:
        votes = [
            vote("x", "a", 4),
            vote("y", "a", 1),
            vote("z", "a", None, note="call.timeout: late"),
            vote("x", "b", 0),
        ]
        assert scoring.impute(votes) == (
            Score(juror="x", bidder="a", value=4),
            Score(juror="y", bidder="a", value=1),
            Score(juror="z", bidder="a", value=2.5, imputed=True, note="call.timeout: late"),
            Score(juror="x", bidder="b", value=0),
        )

    def test_where_nobody_scored_a_strategy_it_gets_the_mean_of_all(self) -> None:
        scores = scoring.impute([vote("x", "a", 5), vote("x", "b", 2), vote("x", "c", None)])
        assert scores[2].value == 3.5

    def test_where_nobody_voted_at_all_it_is_the_middle_of_the_scale(self) -> None:
        assert [s.value for s in scoring.impute([vote("x", "a", None), vote("x", "b", None)])] == [2.5, 2.5]

    def test_a_zero_is_a_vote(self) -> None:
        scores = scoring.impute([vote("x", "a", 0), vote("y", "a", None)])
        assert [(s.value, s.imputed) for s in scores] == [(0, False), (0, True)]

    def test_nothing_from_nothing(self) -> None:
        assert scoring.impute([]) == ()

    def test_a_vote_that_says_what_it_counts_as_is_not_the_mean(self) -> None:
        silent = replace(vote("x", "a", None), counts_as=1.75)
        assert scoring.impute([silent, vote("y", "a", 5), vote("x", "b", 4)])[0].value == 1.75

    def test_what_was_expected_stays_beside_the_vote(self) -> None:
        assert scoring.impute([replace(vote("x", "a", 4), expected=3.7)])[0].expected == 3.7


MODEL = SuccessModel(
    worth=1.0,
    intercepts={},
    newcomer=0.0,
    rates={},
    newcomer_rate=0.5,
    newcomer_tokens=1.0,
    coefficients={},
    means={},
    work={},
)


class TestParts:
    RECORD = TrackRecord(agent="a", successes=4.0, failures=0.0, spent=0.0, costed=0.0)
    SCORES = (score("x", "a", 4),)

    def test_the_parts_of_a_value_add_up_to_it(self) -> None:
        w = replace(weights({"x": 10.0}, entropy=8.0), track=40.0)
        made = scoring.weigh(strategy(entropy=0.25), 1.0, self.SCORES, w, self.RECORD)
        parts = scoring.split_value(made, w)
        assert parts == pytest.approx({"jury": 40.0, "entropy": 2.0, "past success": 10.0})
        assert parts is not None
        assert sum(parts.values()) == pytest.approx(made.value)

    def test_unknown_entropy_counts_with_the_jury(self) -> None:
        w = weights({"x": 10.0}, entropy=8.0)
        parts = scoring.split_value(scoring.weigh(strategy(), 1.0, self.SCORES, w), w)
        assert parts == pytest.approx({"jury": 46.4, "entropy": 0.0})

    def test_another_rule_or_a_success_model_has_no_such_parts(self) -> None:
        w = weights({"x": 10.0})
        made = scoring.weigh(strategy(), 1.0, self.SCORES, w)
        assert scoring.split_value(made, w) == {"jury": 40.0}
        assert scoring.split_value(replace(made, value=made.value + 1.0), w) is None
        assert scoring.split_value(made, replace(w, model=MODEL)) is None


class TestJudged:
    @pytest.mark.parametrize(("note", "judged"), [("timed out", False), (NOTHING_TO_READ, True)])
    def test_a_juror_that_had_nothing_to_read_did_its_part_and_one_that_failed_did_not(
        self, note: str, *, judged: bool
    ) -> None:
        silent = Score(juror="x", bidder="a", value=2.5, imputed=True, note=note)
        one = replace(bid("a", cost=1.0, value=9.0), scores=(silent,))
        assert scoring.is_judged(one) is judged
        other = replace(bid("b", cost=1.0, value=2.0), scores=(score("x", "b", 1),))
        assert scoring.next_best([one, other], ["c"]) == (one if judged else other)
