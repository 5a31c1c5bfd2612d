"""From log-probabilities to entropy, by hand."""

from __future__ import annotations

import math

import pytest

from sale.auction.entropy import strategy_entropy, token_entropies
from sale.types import TokenLogprobs
from tests.support.builders import token

HALF, THIRD, QUARTER = math.log(1 / 2), math.log(1 / 3), math.log(1 / 4)


def token_entropy(one: TokenLogprobs) -> tuple[float, float] | None:
    """H_t of one token, in nats and normalised; `None` where its numbers are not probabilities."""
    (nats,), (normalised,) = token_entropies([one])
    return None if math.isnan(nats) else (float(nats), float(normalised))


class TestOneToken:
    def test_certainty_has_none(self) -> None:
        assert token_entropy(token("a", 0.0, ("a", 0.0))) == (0.0, 0.0)

    def test_two_equal_alternatives_and_no_tail(self) -> None:
        nats, normalised = token_entropy(token("a", HALF, ("a", HALF), ("b", HALF))) or (math.nan, math.nan)
        assert nats == pytest.approx(math.log(2))
        assert normalised == pytest.approx(math.log(2) / math.log(3))

    def test_the_tail_is_one_bucket(self) -> None:
        nats, normalised = token_entropy(token("a", QUARTER, ("a", HALF), ("b", QUARTER))) or (math.nan, math.nan)
        assert nats == pytest.approx(0.5 * math.log(2) + 2 * 0.25 * math.log(4))
        assert normalised == pytest.approx(nats / math.log(3))

    def test_as_even_as_can_be_is_one(self) -> None:
        found = token_entropy(token("a", THIRD, ("a", THIRD), ("b", THIRD)))
        assert found == (pytest.approx(math.log(3)), pytest.approx(1.0))

    def test_without_alternatives_the_token_itself_stands_against_the_tail(self) -> None:
        assert token_entropy(token("a", HALF)) == (pytest.approx(math.log(2)), pytest.approx(1.0))

    def test_rounding_over_one_is_put_right(self) -> None:
        found = token_entropy(token("a", 0.0, ("a", 0.001), ("b", -30.0)))
        assert found is not None
        assert 0.0 <= found[1] < 1e-6

    @pytest.mark.parametrize("bad", [math.nan, -math.inf, -1e9])
    def test_what_is_no_probability_is_not_measured(self, bad: float) -> None:
        assert token_entropy(token("a", 0.0, ("a", bad))) is None

    def test_plus_infinity_is_certainty(self) -> None:
        assert token_entropy(token("a", math.inf)) == (0.0, 0.0)


class TestStrategy:
    def test_is_the_mean_over_its_tokens(self) -> None:
        sure, torn = token("a", 0.0, ("a", 0.0), ("b", -math.inf)), token("b", HALF, ("a", HALF), ("b", HALF))
        found = strategy_entropy([sure, torn, torn])
        assert found is not None
        assert found.nats == pytest.approx(2 / 3 * math.log(2))
        assert found.normalised == pytest.approx(2 / 3 * math.log(2) / math.log(3))
        assert (found.top_k, found.tokens) == (2, 3)

    def test_tokens_with_few_and_with_many_alternatives_count_as_they_do_alone(self) -> None:
        few = token("a", HALF, ("a", HALF))
        many = token("a", QUARTER, ("a", QUARTER), ("b", QUARTER), ("c", QUARTER))
        both, alone = strategy_entropy([few, many]), [token_entropy(few), token_entropy(many)]
        assert both is not None
        assert None not in alone
        assert both.nats == pytest.approx(math.fsum(one[0] for one in alone if one) / 2)
        assert both.normalised == pytest.approx(math.fsum(one[1] for one in alone if one) / 2)
        assert both.top_k == 3

    def test_leaves_out_what_cannot_be_measured(self) -> None:
        found = strategy_entropy([token("a", math.nan), token("b", HALF)])
        assert found is not None
        assert (found.normalised, found.tokens, found.top_k) == (pytest.approx(1.0), 1, 1)

    def test_is_unknown_where_nothing_can_be_measured(self) -> None:
        assert strategy_entropy([]) is None
        assert strategy_entropy([token("a", math.nan)]) is None
