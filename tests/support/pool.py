"""Models and agents on the test endpoint, in a line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import SecretStr

from sale.agents.contractor import Contractor
from sale.agents.protocol import Tool
from sale.config import AgentSettings
from sale.models.endpoint import Address, EndpointModel, SamplingOptions, fixed_address
from sale.models.prices import price_of
from sale.types import Price, Prompt
from tests.support.endpoint import Endpoint

KEY = "sk-canary-7f3a9c"
"""A key that must never be seen anywhere but in the request's own header."""
PLAN = Prompt(system="You take part.", user="Plan, as 3 to 6 numbered steps.", template="bid@test")
ONCE = SamplingOptions(retries=0)


def model(
    endpoint: Endpoint, name: str, *, manner: SamplingOptions = ONCE, key: str | None = KEY, base_url: str | None = None
) -> EndpointModel:
    """A model of the endpoint, its agent called `alice`; without transport retries unless the manner says so."""
    address = Address(
        base_url=base_url or endpoint.base_url, model=name, api_key=SecretStr(key) if key is not None else None
    )
    return EndpointModel("alice", fixed_address(address), manner=manner)


def contractor(
    endpoint: Endpoint,
    name: str,
    behaviour: str = "good",
    *,
    price: float = 1.0,
    tools: tuple[Tool, ...] = (),
    retries: int = 0,
    base_url: str | None = None,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> Contractor:
    """An agent on the endpoint; `settings` are further ones of its section in `sale.toml`."""
    url = base_url or endpoint.base_url
    of = AgentSettings.model_validate(
        {"name": name, "endpoint": url, "model": f"{behaviour}@{name}", "price": price, **settings}
    )
    manner = SamplingOptions(
        temperature=of.temperature, logprobs=of.logprobs, json_schema=of.json_schema, retries=retries
    )
    address = Address(base_url=url, model=f"{behaviour}@{name}", api_key=SecretStr(KEY))
    return Contractor(
        of, price=_price(price), model=EndpointModel(name, fixed_address(address), manner=manner), tools=tools
    )


def _price(dollars: float) -> Price:
    return price_of(dollars, 2 * dollars, dollars)
