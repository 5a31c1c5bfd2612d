"""How long labels are, and that they stay apart on ballots of any size."""

from __future__ import annotations

import pytest

from sale.auction.labels import draw_labels, label_width


@pytest.mark.parametrize(("count", "width"), [(1, 2), (100, 2), (101, 3), (2000, 3), (2001, 4)])
def test_labels_get_longer_before_there_are_too_few_to_guess_among(count: int, width: int) -> None:
    assert label_width(count) == width


def test_a_large_ballot_has_as_many_labels_as_plans() -> None:
    assert len(set(draw_labels(300, ["seed"]))) == 300
