"""Whatever an endpoint reports, entropy is a number from 0 to 1 or it is unknown."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sale.auction.entropy import strategy_entropy
from sale.types import TokenLogprobs
from tests.support.builders import token
from tests.support.generators import token_logprobs


def distribution(masses: list[float]) -> TokenLogprobs:
    total = math.fsum(masses)
    top = [(str(at), math.log(mass / total)) for at, mass in enumerate(masses)]
    return token("0", top[0][1], *top)


@given(st.lists(token_logprobs(), max_size=8))
def test_is_between_nothing_and_one_or_unknown(tokens: list[TokenLogprobs]) -> None:
    found = strategy_entropy(tokens)
    if found is None:
        assert all(strategy_entropy([one]) is None for one in tokens)
        return
    assert 0.0 <= found.normalised <= 1.0
    assert 0.0 <= found.nats < math.inf
    assert 0 < found.tokens <= len(tokens)


@given(st.integers(1, 10), st.integers(1, 30))
def test_certainty_is_zero(alternatives: int, length: int) -> None:
    sure = token("a", 0.0, ("a", 0.0), *[("b", -math.inf)] * (alternatives - 1))
    found = strategy_entropy([sure] * length)
    assert found is not None
    assert (found.normalised, found.nats) == (0.0, 0.0)


@given(st.integers(1, 200))
def test_a_uniform_distribution_tends_to_one(alternatives: int) -> None:
    with_tail = token("a", 0.0, *[("a", -math.log(alternatives + 1))] * alternatives)
    without = distribution([1.0] * alternatives)
    exact, close = strategy_entropy([with_tail]), strategy_entropy([without])
    assert exact is not None
    assert close is not None
    assert math.isclose(exact.normalised, 1.0, rel_tol=1e-9)
    assert math.isclose(close.normalised, math.log(alternatives) / math.log(alternatives + 1), abs_tol=1e-9)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_moving_towards_even_never_lowers_it(masses: list[float], step: float) -> None:
    mean = math.fsum(masses) / len(masses)
    evened = [mass + (mean - mass) * step for mass in masses]
    before, after = (strategy_entropy([distribution(one)]) for one in (masses, evened))
    assert before is not None
    assert after is not None
    assert after.nats >= before.nats - 1e-9


@given(st.lists(st.floats(1e-3, 1), min_size=2, max_size=20))
def test_reporting_fewer_alternatives_never_raises_the_nats(masses: list[float]) -> None:
    """One tail bucket is a lower bound of the true entropy."""
    whole = distribution(sorted(masses, reverse=True))
    cut = TokenLogprobs(token="0", logprob=whole.logprob, top=whole.top[:-1])
    full, part = strategy_entropy([whole]), strategy_entropy([cut])
    assert full is not None
    assert part is not None
    assert part.nats <= full.nats + 1e-9
