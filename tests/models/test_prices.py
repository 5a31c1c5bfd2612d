"""What tokens cost: the user's figure, the public list, or a refusal."""

from __future__ import annotations

import pytest

from sale.errors import UnpricedAgentError
from sale.models.prices import listed_price, price_of
from sale.types import Price

OPENAI = "https://api.openai.com/v1"


def test_the_blend_is_three_parts_input_and_one_part_output() -> None:
    assert price_of(1.0, 5.0) == Price(input=1.0, output=5.0, blended=2.0)
    assert price_of(1.0, 5.0, 4.0).blended == 4.0
    assert price_of(1.0, 5.0, 0.0).blended == 0.0  # nothing is a figure, too


def test_a_listed_model_has_its_listed_price() -> None:
    found = listed_price("a", "gpt-4o-mini", OPENAI)
    assert (found.input, found.output) == (0.15, 0.6)
    assert found.blended == pytest.approx(0.75 * 0.15 + 0.25 * 0.6)


@pytest.mark.parametrize(
    ("model", "endpoint", "figures"),
    [
        ("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai/", (1.25, 10.0)),
        ("claude-sonnet-4-5", "https://api.anthropic.com/v1", (3.0, 15.0)),
    ],
)
def test_where_long_prompts_cost_more_it_is_the_price_of_a_short_one(
    model: str, endpoint: str, figures: tuple[float, float]
) -> None:
    found = listed_price("a", model, endpoint)
    assert (found.input, found.output) == figures


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        ("no-such-model", OPENAI),
        ("gpt-4o-mini", "http://127.0.0.1:11434/v1"),  # the same name elsewhere is another price
        ("llama3.2", "http://localhost:11434/v1"),
        ("", OPENAI),
        ("text-embedding-3-small", OPENAI),  # listed, but not for writing
    ],
)
def test_an_unknown_model_is_refused_never_free(model: str, endpoint: str) -> None:
    with pytest.raises(UnpricedAgentError) as caught:
        listed_price("mine", model, endpoint)
    error = caught.value
    assert repr(model) in error.message
    assert endpoint in error.message
    assert error.where == "agent 'mine'"
    assert "price = {" in error.hint
