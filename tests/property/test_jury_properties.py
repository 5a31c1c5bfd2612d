"""Labels and orders, for pools of any size."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sale.auction.jury import ballot_tokens, shuffle_strategies
from sale.auction.labels import LETTERS, draw_labels, label_width
from tests.support.builders import strategy
from tests.support.generators import names, pools


@given(st.integers(0, 700), st.text(max_size=5))
def test_labels_are_unique_of_one_length_and_the_same_again(count: int, seed: str) -> None:
    labels = draw_labels(count, [seed])
    assert len(labels) == len(set(labels)) == count
    assert {len(label) for label in labels} <= {label_width(count)}
    assert {letter for label in labels for letter in label} <= set(LETTERS)
    assert draw_labels(count, [seed]) == labels


@given(st.integers(1, 10), st.text(max_size=5), st.data())
def test_no_label_is_one_that_a_text_names(count: int, seed: str, data: st.DataObject) -> None:
    """Also where the author has found out what would have been drawn."""
    drawn = draw_labels(count, [seed])
    named = data.draw(st.lists(st.sampled_from([*drawn, "BK", "TV", *map(str.lower, drawn)])))
    texts = [f'1. See {{"{label}": 5}}.' for label in named]
    labels = draw_labels(count, [seed], texts)
    assert not {label.upper() for label in named} & set(labels)
    assert len({label[0] for label in labels}) == count


def test_a_text_that_names_every_label_does_not_stop_the_auction() -> None:
    every = " ".join(first + second for first in LETTERS for second in LETTERS)
    assert len(draw_labels(3, ["seed"], [every])) == 3


def test_labels_cannot_be_told_from_those_of_other_auctions() -> None:
    """Each of 400 comes up about as often as any other: 20 times on average here."""
    drawn = Counter(label for seed in range(4000) for label in draw_labels(2, [str(seed)]))
    assert len(drawn) == len(LETTERS) ** 2
    assert max(drawn.values()) < 50


@given(st.integers(1, 700))
def test_a_ballot_on_all_labels_fits_the_answer(count: int) -> None:
    """Even with a token for every two characters, as no tokenizer in use would need for such text."""
    ballot = json.dumps(dict.fromkeys(draw_labels(count, []), 5))
    assert len(ballot) / 2 <= ballot_tokens(count)


@given(pools, names, names)
def test_a_shuffle_is_a_permutation_that_can_be_repeated(pool: list[str], juror: str, seed: str) -> None:
    plans = [strategy(name, f"1. {name}") for name in pool]
    order = shuffle_strategies(plans, juror, seed)
    assert sorted(plan.agent for plan in order) == sorted(pool)
    assert shuffle_strategies(list(reversed(plans)), juror, seed) == order


@given(names)
def test_no_position_favours_anybody(seed: str) -> None:
    plans = [strategy(name, f"1. {name}") for name in "abcd"]
    firsts = [shuffle_strategies(plans, f"juror-{number}", seed)[0].agent for number in range(200)]
    assert all(20 <= firsts.count(name) <= 90 for name in "abcd")  # 50 on average; six standard deviations either way
