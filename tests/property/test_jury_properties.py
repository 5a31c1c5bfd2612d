"""Labels and orders, for pools of any size."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sale.auction.jury import ballot_tokens, labels_for, shuffled
from tests.support.generators import names, pools
from tests.support.values import strategy


@given(st.integers(0, 700))
def test_labels_are_unique_of_one_length_and_sorted(count: int) -> None:
    labels = labels_for(count)
    assert len(labels) == len(set(labels)) == count
    assert len({len(label) for label in labels}) <= 1
    assert labels == sorted(labels)
    assert all(label.isascii() and label.isupper() for label in labels)


@given(st.integers(1, 700))
def test_a_ballot_on_all_labels_fits_the_answer(count: int) -> None:
    """Even with a token for every two characters, as no tokenizer in use would need for such text."""
    ballot = json.dumps(dict.fromkeys(labels_for(count), 5))
    assert len(ballot) / 2 <= ballot_tokens(count)


@given(pools, names, names)
def test_a_shuffle_is_a_permutation_that_can_be_repeated(pool: list[str], juror: str, seed: str) -> None:
    plans = [strategy(name, f"1. {name}") for name in pool]
    order = shuffled(plans, juror, seed)
    assert sorted(plan.agent for plan in order) == sorted(pool)
    assert shuffled(list(reversed(plans)), juror, seed) == order


@given(names)
def test_no_position_favours_anybody(seed: str) -> None:
    plans = [strategy(name, f"1. {name}") for name in "abcd"]
    firsts = [shuffled(plans, f"juror-{number}", seed)[0].agent for number in range(200)]
    assert all(20 <= firsts.count(name) <= 90 for name in "abcd")  # 50 on average; six standard deviations either way
