"""Prices of an agent's tokens: the user's own price first, then the public price list, and never a guess."""

from __future__ import annotations

from functools import lru_cache

from genai_prices import Usage as ListedUsage
from genai_prices import calc_price
from genai_prices.types import PriceCalculation

from sale.errors import UnpricedAgentError
from sale.types import Price

# Long prompts of some models cost more: the first tier's price is that of a short call.
SHORT = 1_000
PER_MILLION = 1_000_000 // SHORT
CACHED_CALL = ListedUsage(input_tokens=SHORT, cache_read_tokens=SHORT)
LISTED_AS = {
    "azure-responses": "azure",
    "bedrock": "aws",
    "google-cloud": "google",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "xai": "x-ai",
}
"""Providers that the list calls otherwise than Pydantic AI does."""
# Agent traffic reads about three tokens for each it writes; the usual blend of published price comparisons.
INPUT_SHARE = 0.75


def price_of(
    input_price: float, output_price: float, blended: float | None = None, cached: float | None = None
) -> Price:
    """A price in dollars per million tokens; π(a) is three parts input, one part output unless `blended` is given."""
    blend = INPUT_SHARE * input_price + (1 - INPUT_SHARE) * output_price if blended is None else blended
    return Price(input=input_price, output=output_price, blended=blend, cached=cached)


def listed_price(agent: str, model: str, endpoint: str = "", *, provider: str = "") -> Price:
    """The price `genai-prices` lists for a model, at the first price tier.

    Args:
        agent: Named in the error.
        model: The model's name at its endpoint.
        endpoint: The base URL. A model of the same name elsewhere has another price, so only this provider counts.
        provider: In place of the URL, the provider's name in Pydantic AI.

    Raises:
        UnpricedAgentError: The list does not know the model. An unpriced agent would win every auction.
    """
    short_call = ListedUsage(input_tokens=SHORT, output_tokens=SHORT)
    try:
        found = _listed(short_call, model, endpoint, provider)
        if getattr(found.model_price, "output_mtok", None) is None:
            raise LookupError(f"{model} is listed without a price for what it writes")  # a speech model, say: not free
    except LookupError as error:
        raise UnpricedAgentError(
            f"no price is known for model {model!r} at {endpoint or provider}",
            where=f"agent {agent!r}",
            hint="Give it one in dollars per million tokens: price = { input = 0.10, output = 0.40 }; "
            "for a model of your own, what its electricity or rent comes to.",
        ) from error
    # Decimal until the end: 14.999999999999998 is not what anybody would find in a price list.
    from_cache = _listed(CACHED_CALL, model, endpoint, provider)
    return price_of(
        float(found.input_price * PER_MILLION),
        float(found.output_price * PER_MILLION),
        cached=float(from_cache.input_price * PER_MILLION),
    )


def _listed(usage: ListedUsage, model: str, endpoint: str, provider: str) -> PriceCalculation:
    if endpoint:
        return calc_price(usage, model, provider_api_url=endpoint)
    return calc_price(usage, model, provider_id=LISTED_AS.get(provider, provider))


@lru_cache(maxsize=256)
def listed_embedding_price(model: str, endpoint: str) -> float | None:
    """Dollars per million tokens that `genai-prices` lists for an embedding model; `None` where it knows none."""
    try:
        found = calc_price(ListedUsage(input_tokens=SHORT), model, provider_api_url=endpoint)
    except LookupError:
        return None
    return float(found.input_price * PER_MILLION)
