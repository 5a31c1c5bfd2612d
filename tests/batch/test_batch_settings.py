"""The settings of agents that are asked by a batch API, and the price that the market counts with."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sale.batch.pool import batch_market, batch_price, job_pace, without_jobs
from sale.config import AgentSettings, MemorySettings, Settings
from sale.types import Price

ENDPOINT = {"name": "a", "endpoint": "http://127.0.0.1:9/v1", "model": "m"}


def agent(**more: object) -> AgentSettings:
    return AgentSettings.model_validate({**ENDPOINT, "price": 2.0, **more})


def pool(*agents: AgentSettings) -> Settings:
    return Settings(agents=agents, memory=MemorySettings(enabled=False))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"batch": "openai", "execution": "tools"}, 'execution = "direct" only'),
        ({"batch_discount": 0.5}, "batch_discount goes with batch only"),
        ({"batch": "openai", "batch_discount": 1.0}, "less than 1"),
        ({"batch": "other"}, "'openai'"),
    ],
)
def test_what_a_batch_api_cannot_be_used_for_is_refused(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        agent(**more)


def test_it_goes_with_an_endpoint_only() -> None:
    with pytest.raises(ValidationError, match="batch goes with endpoint only"):
        AgentSettings.model_validate({"name": "a", "local": "tiny", "batch": "openai", "price": 1.0})


async def test_the_market_counts_with_the_discounted_price() -> None:
    price = {"input": 1.0, "output": 4.0, "cached": 0.5}
    settings = pool(agent(batch="openai", batch_discount=0.75, price=price), agent(name="b", batch="openai"))
    assert batch_price(settings.agents[0]) == Price(input=0.25, output=1.0, blended=0.4375, cached=0.125)
    assert job_pace(settings) is not None
    async with batch_market(settings) as market:
        assert [one.price.output for one in market.agents] == [1.0, 1.0]
    live = without_jobs(settings)
    assert job_pace(live) is None
    async with batch_market(live) as market:
        assert [one.price.output for one in market.agents] == [4.0, 2.0]
