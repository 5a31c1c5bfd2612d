"""What decisions came to, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.bench.metrics import (
    DecisionOutcomes,
    best_single,
    compare_dollars,
    compare_success,
    escalation,
    gap_closed,
    oracle,
    saving,
    settle,
    split,
    summary,
    win_share,
    workload,
)
from sale.bench.routers.protocol import OutcomeTable, Routing
from sale.bench.stats import Interval, Resampling
from sale.learning.mixtures import hull

FAST = Resampling(seed=5, resamples=400)


def table(success: Sequence[Sequence[float]], *, tokens: bool = True, dollars: float = 1.0) -> OutcomeTable:
    """Agent a costs a + 1 dollars and a million tokens less 100,000 a."""
    given_ = np.asarray(success, dtype=np.float64)
    tasks, agents = given_.shape
    return OutcomeTable(
        agents=tuple("abcdef"[:agents]),
        prices=np.arange(1.0, agents + 1),
        ids=tuple(f"t{task}" for task in range(tasks)),
        texts=("",) * tasks,
        success=given_,
        dollars=np.tile(np.arange(1.0, agents + 1), (tasks, 1)) * dollars,
        tokens=np.tile(1e6 - 1e5 * np.arange(agents), (tasks, 1)) if tokens else None,
    )


def choose(chosen: Sequence[int], agents: int, extra: float = 0.0, extra_tokens: float = 0.0) -> Routing:
    made = Routing.of(np.array(chosen, dtype=np.intp), agents)
    return Routing(
        chosen=made.chosen,
        called=made.called,
        extra_dollars=np.full(len(chosen), extra),
        extra_tokens=np.full(len(chosen), extra_tokens),
    )


def value(found: Interval | None) -> float:
    assert found is not None
    return found.value


FOUR = table([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])


def test_the_summary_by_hand() -> None:
    found = summary(settle((FOUR, choose([0, 1, 1, 2], 3, extra=0.25, extra_tokens=1e5))), FAST)
    assert found.pass_at_1.value == 0.5
    assert found.dollars_per_task.value == (1 + 2 + 2 + 3 + 1) / 4
    assert value(found.tokens_per_task) == pytest.approx((1e6 + 9e5 + 9e5 + 8e5 + 4e5) / 4)
    assert value(found.dollars_per_mt) == pytest.approx(9 / 4.0)
    assert found.reliance.value == 0.25
    assert value(found.overhead) == pytest.approx(1 / 9)
    assert found.pass_at_1.tasks == 4


def test_a_task_for_which_no_agent_is_called_is_neither_solved_nor_paid_for() -> None:
    routing = choose([0, 0, 2, 2], 3)
    routing.called[0] = False
    found = settle((FOUR, routing))
    assert found.success.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert found.dollars.tolist() == [0.0, 1.0, 3.0, 3.0]


def test_a_run_that_fails_where_no_dearer_agent_solves_the_task_did_not_need_one() -> None:
    """An agent that follows a refined plan may fail at what it solves by itself."""
    followed, alone = table([[0, 0, 0]] * 3), table([[1, 0, 0], [1, 0, 1], [1, 1, 0]])
    found = escalation(settle((followed, choose([0, 0, 0], 3))), alone, FAST)
    assert found.exact.value == 1.0
    assert found.under.value == pytest.approx(2 / 3)


def test_every_execution_called_is_paid_for() -> None:
    routing = choose([2, 2], 3)
    routing.called[0] = True
    found = settle((FOUR.take([0, 1]), routing))
    assert found.dollars.tolist() == [6.0, 3.0]
    assert found.tokens is not None
    assert found.tokens.tolist() == [2.7e6, 8e5]


def test_unknown_tokens_stay_unknown() -> None:
    found = summary(settle((table([[1, 0], [0, 1]], tokens=False), choose([0, 1], 2))), FAST)
    assert found.tokens_per_task is None
    assert found.dollars_per_mt is None
    assert found.dollars_per_task.value == 1.5


@pytest.mark.parametrize("success", [0.0, 1.0])
def test_all_right_or_nobody_right_is_no_certainty(success: float) -> None:
    found = summary(settle((table([[success] * 2] * 6), choose([0] * 6, 2))), FAST).pass_at_1
    assert (found.value, found.how) == (success, "wilson")
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low > 0.3


def test_one_task_has_figures_and_no_made_up_spread() -> None:
    found = summary(settle((table([[1, 0]]), choose([0], 2))), FAST)
    assert found.pass_at_1.how == "wilson"
    assert (found.dollars_per_task.value, found.dollars_per_task.low) == (1.0, None)


def test_where_nothing_is_spent_ratios_are_unknown() -> None:
    free = table([[1, 0], [0, 1]], dollars=0.0)
    found = settle((free, choose([0, 1], 2)))
    assert summary(found, FAST).overhead is None
    assert summary(found, FAST).dollars_per_task.value == 0.0
    assert summary(found, FAST).dollars_per_task.how == "bootstrap"
    assert saving(found, free, 1, FAST) is None


def test_no_tasks_are_refused() -> None:
    empty = FOUR.take([])
    with pytest.raises(ValueError, match="at least one task"):
        summary(settle((empty, choose([], 3))), FAST)
    with pytest.raises(ValueError, match="at least one run"):
        settle()


def test_orders_of_the_same_tasks_are_no_new_tasks() -> None:
    once = settle((FOUR, choose([0, 1, 2, 2], 3)))
    back = (FOUR.take([3, 2, 1, 0]), choose([2, 2, 1, 0], 3))
    thrice = settle((FOUR, choose([0, 1, 2, 2], 3)), back, back)
    assert summary(thrice, FAST) == summary(once, FAST)


def test_tables_of_other_agents_cannot_be_settled_together() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        settle((FOUR, choose([0] * 4, 3)), (table([[1, 0]]), choose([0], 2)))


def test_parts_by_label_keep_the_order_of_the_labels() -> None:
    found = split(settle((FOUR, choose([0, 1, 2, 2], 3))), {"t3": "easy", "t0": "hard", "t1": "hard", "t2": "hard"})
    assert {label: part.ids for label, part in found.items()} == {"easy": ("t3",), "hard": ("t0", "t1", "t2")}
    with pytest.raises(ValueError, match="no label"):
        split(settle((FOUR, choose([0, 1, 2, 2], 3))), {"t0": "hard"})


def test_the_gap_by_hand() -> None:
    """Best single solves 2 of 4, the oracle 3, the router 2.5 on average over two orders."""
    mixed = table([[1, 0], [1, 0], [0, 1], [0, 0]])
    runs = settle((mixed, choose([0, 0, 0, 0], 2)), (mixed, choose([0, 0, 1, 0], 2)))
    assert best_single(mixed) == 0
    assert oracle(mixed).tolist() == [1, 1, 1, 0]
    assert value(gap_closed(runs, mixed, FAST)) == pytest.approx(0.5)
    worse = settle((mixed, choose([1, 1, 1, 1], 2)))
    assert value(gap_closed(worse, mixed, FAST)) == pytest.approx(-1)


def test_no_gap_is_nothing_to_close() -> None:
    assert gap_closed(settle((FOUR, choose([2] * 4, 3))), FOUR, FAST) is None


def test_equal_agents_count_for_the_cheaper() -> None:
    assert best_single(table([[0, 1], [1, 0]])) == 0


def test_savings_by_hand() -> None:
    router = settle((FOUR, choose([0, 1, 2, 0], 3)))
    assert value(saving(router, FOUR, 2, FAST)) == pytest.approx(1 - 7 / 12)
    assert value(saving(router, FOUR, 0, FAST)) == pytest.approx(1 - 7 / 4)


def test_comparisons_pair_tasks_by_name() -> None:
    ours = settle((FOUR.take([3, 1, 0, 2]), choose([0, 1, 0, 2], 3)))
    theirs = settle((FOUR, choose([0, 0, 0, 0], 3)))
    found = compare_success(ours, theirs, FAST)
    assert found.difference.value == pytest.approx(0.5)
    assert (found.ours_only, found.theirs_only, found.mcnemar) == (2, 0, 0.5)
    assert compare_dollars(ours, theirs, FAST).difference.value == pytest.approx((1 + 2 + 1 + 3) / 4 - 1)


def test_several_orders_are_compared_by_task_means() -> None:
    ours = settle((FOUR, choose([0, 0, 0, 0], 3)), (FOUR, choose([2, 2, 2, 2], 3)))
    found = compare_success(ours, settle((FOUR, choose([0] * 4, 3))), FAST)
    assert found.difference.value == pytest.approx(0.25)
    assert found.difference.tasks == 4
    assert found.mcnemar is None


def test_only_the_same_tasks_can_be_compared() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        compare_success(settle((FOUR, choose([0] * 4, 3))), settle((FOUR.take([0]), choose([0], 3))), FAST)


def test_the_workload_by_hand() -> None:
    found = workload(settle((FOUR, choose([0, 1, 2, 2], 3))), FAST, {"t0": "x", "t1": "x", "t2": "y", "t3": "y"})
    assert (found.labels, found.tasks) == (("x", "y"), (2, 2))
    assert [[share.value for share in row] for row in found.shares] == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    whole = workload(settle((FOUR, choose([0, 1, 2, 2], 3))), FAST)
    assert [share.value for share in whole.shares[0]] == [0.25, 0.25, 0.5]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_win_shares_are_shares(chosen: list[int]) -> None:
    found = win_share(np.array(chosen), 4)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(chosen)))
    assert found[-1, 0] == pytest.approx(chosen.count(0) / len(chosen))
    assert found[0, chosen[0]] == 1.0


def test_escalation_by_hand() -> None:
    """The oracle takes a, b, c and nobody; the router takes b, b, a and c."""
    found = escalation(settle((FOUR, choose([1, 1, 0, 2], 3))), FOUR, FAST)
    assert found.counts.tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]
    shares = (found.over.value, found.under.value, found.exact.value, found.hopeless.value)
    assert shares == (0.25, 0.25, 0.25, 0.25)


def test_failing_in_the_middle_is_both_over_and_under() -> None:
    odd = table([[1, 0, 1]])
    found = escalation(settle((odd, choose([1], 3))), odd, FAST)
    assert (found.over.value, found.under.value) == (1.0, 1.0)


def test_a_router_and_a_table_must_fit() -> None:
    router = settle((FOUR, choose([0] * 4, 3)))
    with pytest.raises(ValueError, match="not in the table"):
        escalation(router, FOUR.take([0, 1]), FAST)
    with pytest.raises(ValueError, match="agents"):
        escalation(router, table([[1, 0]]), FAST)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_oracle_never_escalates_and_closes_the_gap(data: st.DataObject) -> None:
    outcomes = data.draw(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3), min_size=2))
    all_ = table(outcomes)
    perfect = settle((all_, Routing.of(np.argmax(all_.success, axis=1), 3)))
    found = escalation(perfect, all_, FAST)
    assert (found.over.value, found.under.value) == (0.0, 0.0)
    assert found.exact.value + found.hopeless.value == pytest.approx(1)
    gap = gap_closed(perfect, all_, FAST)
    assert gap is None or gap.value == pytest.approx(1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)), min_size=1, max_size=8))
def test_no_point_lies_above_the_hull(points: list[tuple[int, int]]) -> None:
    cost, success = np.array(points, dtype=np.float64).T
    corners = hull(cost, success)
    xs, ys = np.concatenate([[0.0], cost[corners]]), np.concatenate([[0.0], success[corners]])
    assert (np.diff(ys) > 0).all()
    assert all(np.interp(x, xs, ys) >= y - 1e-9 for x, y in points if x > 0)


def test_taking_rows_keeps_everything_together() -> None:
    whole = settle((FOUR, choose([0, 1, 2, 2], 3, extra=0.5)))
    part: DecisionOutcomes = whole.take(np.array([False, True, False, True]))
    assert (part.ids, part.chosen.tolist(), part.extra.tolist()) == (("t1", "t3"), [1, 2], [0.5, 0.5])
    assert len(part) == 2
