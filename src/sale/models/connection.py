"""Opening a client for one endpoint: what it may take from the environment, and what it is told about the endpoint.

The OpenAI client reads `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`, `OPENAI_CUSTOM_HEADERS` and `OPENAI_ADMIN_KEY` on its own.
They are for OpenAI and are sent nowhere else. Proxies of the environment are used as `sale.config.proxies` says, and
never on the way to this very machine.

A request that may have arrived is not sent again: the endpoint would do the work twice, and only one answer would be on
the bill. What could not be sent at all is tried again, and so is what the endpoint refused (429, 5xx).
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

import httpx2
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient
from openai._models import FinalRequestOptions
from pydantic import SecretStr
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from sale.config.proxies import proxy_for
from sale.errors import ConfigError, RejectedError
from sale.models.address import PLAIN, Address, RequestShape
from sale.models.chat import ChatModel
from sale.models.errors import GIVEN_UP, UNSENT, map_errors
from sale.models.hops import hop_headers

OPENAI = "api.openai.com"
# The client insists on a key; endpoints that need none ignore it.
NO_KEY = "none"
# Shorter ones (`none`, `EMPTY`, `1`) are placeholders: hiding them would only garble the messages.
MIN_SECRET_CHARACTERS = 8
PROVIDER_TIMEOUT = httpx2.Timeout(600.0, connect=5.0)
"""As the clients of providers have it; the time an agent has is held to elsewhere."""
# The headers a request to anybody but OpenAI may have, or how their names begin.
SENT = ("accept", "authorization", "connection", "content-", "host", "trace", "transfer-", "user-agent", "x-stainless-")


def connect(
    address: Address, *, agent: str, retries: int, transport: httpx2.AsyncBaseTransport | None = None
) -> ChatModel:
    """A model at its address; nothing is sent yet. Close it with `await model.client.close()`.

    Args:
        address: Where, and with which key.
        agent: For error messages.
        retries: How often the client tries again where that can help; it honours `Retry-After`.
        transport: Carries the requests in place of connections of its own.

    Raises:
        RejectedError: The URL or the key cannot be used.
    """
    url = _usable(address.base_url, agent)
    key, shape = _sendable(address.api_key, agent), address.shape
    own = {name.lower(): value for name, value in shape.all_headers.items()}
    openai = url.host == OPENAI or url.host.endswith(f".{OPENAI}")
    http_client = (
        _http_client(url, agent, _SendOnceClient)
        if transport is None
        else _SendOnceClient(transport=transport, trust_env=False)
    )
    asked = [_kept_at(url.host, shape.secret_headers), *([] if openai else [_only_ours(key, own)])]
    http_client.event_hooks = {"request": [*asked, *([] if openai else [_add_hops])], "response": [_given_up]}
    client = _Shaped(
        base_url=address.base_url,
        api_key=key,
        max_retries=retries,
        http_client=http_client,
        default_headers=shape.all_headers,
        default_query=dict(shape.query),
    )
    client.shape = shape
    secrets = (key, *(_sendable(one, agent) for one in shape.secret_headers.values()))
    hide = tuple(secret for secret in secrets if len(secret) >= MIN_SECRET_CHARACTERS)
    if openai:
        provider = OpenAIProvider(openai_client=client)
        return ChatModel(address.model, provider=provider, profile=None, agent=agent, hide=hide)
    # OpenAI itself wants `max_completion_tokens`; everything that imitates it knows `max_tokens`.
    profile = OpenAIModelProfile(supports_json_schema_output=True, openai_chat_supports_max_completion_tokens=False)
    imitator = OpenAICompatibleProvider("endpoint", openai_client=client)
    return ChatModel(address.model, provider=imitator, profile=profile, agent=agent, hide=hide)


class _Shaped(AsyncOpenAI):
    """The OpenAI client, whose requests are brought to the shape that one endpoint wants."""

    shape: RequestShape = PLAIN

    async def _prepare_options(self, options: FinalRequestOptions) -> FinalRequestOptions:
        """The client's own hook for changing a request before it is built."""
        if self.shape is PLAIN or not isinstance(options.json_data, Mapping):
            return options
        return options.model_copy(
            update={"json_data": self.shape.reshape(cast("Mapping[str, object]", options.json_data))}
        )


def client_for(base_url: str, agent: str) -> httpx2.AsyncClient:
    """An HTTP client for a provider's own client at an address that settings name: its proxy, and nothing else.

    Args:
        base_url: The address.
        agent: For error messages.

    Raises:
        RejectedError: The URL cannot be used.
    """
    client = _http_client(_usable(base_url, agent), agent, httpx2.AsyncClient, timeout=PROVIDER_TIMEOUT)
    client.event_hooks = {"request": [_add_hops]}
    return client


def _usable(base_url: str, agent: str) -> httpx2.URL:
    with map_errors(agent):
        url = httpx2.URL(base_url)
    # The client logs URLs, and a query would end up in the middle of the path.
    if url.userinfo or url.query or url.fragment or not url.host:
        raise RejectedError(
            "the endpoint's URL may hold a host, a port and a path, and nothing else",
            where=agent,
            hint="Correct it in sale.toml; what follows ? goes into query, and keys into the environment variable that "
            "api_key_env names.",
        )
    return url


def _sendable(key: SecretStr | None, agent: str) -> str:
    if key is None:
        return NO_KEY
    value = key.get_secret_value()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise RejectedError(
            "the key cannot be sent: it is empty, or holds a space, a line break or a character outside ASCII",
            where=agent,
            hint="Look at the environment variable that api_key_env names.",
        )
    return value


def _only_ours(key: str, own: Mapping[str, str]) -> Callable[[httpx2.Request], Awaitable[None]]:
    """Takes from a request what is not on the list: whatever the client found in the environment, by any name.

    Args:
        key: The endpoint's key.
        own: Headers that settings name, in lower case.
    """

    async def strip(request: httpx2.Request) -> None:
        for name in [name for name in request.headers if not name.startswith(SENT) and name not in own]:
            del request.headers[name]
        # The environment's headers may hold another key. After a redirect to elsewhere there is none, and stays none.
        if "authorization" in request.headers:
            request.headers["authorization"] = own.get("authorization", f"Bearer {key}")

    return strip


def _kept_at(host: str, secret: Collection[str]) -> Callable[[httpx2.Request], Awaitable[None]]:
    """Takes headers that hold keys from a request that a redirect leads to another host."""

    async def strip(request: httpx2.Request) -> None:
        if request.url.host != host:
            for name in secret:
                request.headers.pop(name, None)

    return strip


class _SendOnceClient(DefaultAsyncHttpxClient):
    """The OpenAI client's HTTP client, whose failures that client does not answer by sending the request again.

    It tries again after whatever an HTTP client raises, but lets errors of its own kind through.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401  as declared there
        """Send a request.

        Raises:
            APIConnectionError: The connection was lost, or the time was up, when some of it may have arrived.
            httpx2.TransportError: There was no connection.
        """
        try:
            return await super().send(request, **options)
        except UNSENT:
            raise
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.TransportError as error:
            raise APIConnectionError(request=request) from error


async def _add_hops(request: httpx2.Request) -> None:
    """Say how many gateways the request has passed for which this one is made."""
    request.headers.update(hop_headers())


async def _given_up(response: httpx2.Response) -> None:
    """Tell the OpenAI client not to try again where the work may be under way."""
    if response.status_code in GIVEN_UP:
        response.headers["x-should-retry"] = "false"


def _http_client(
    url: httpx2.URL,
    agent: str,
    kind: type[httpx2.AsyncClient],
    **options: Any,  # noqa: ANN401  they are the client's
) -> httpx2.AsyncClient:
    """An HTTP client with its kind's own limits, and the one proxy on the way, if any."""
    try:
        proxy = proxy_for(str(url))
    except ConfigError as error:
        raise RejectedError(f"{error.where}: {error.message}", where=agent, hint=error.hint) from error
    # Nothing to verify over HTTP: spares the reading of all certificates, which blocks the event loop for a while.
    secure = url.scheme != "http" or (proxy is not None and proxy.url.startswith("https"))
    verify = httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The client would build all proxies of the environment at once, those that it cannot use and does not need as well.
    return kind(proxy=None if proxy is None else proxy.url, verify=verify, trust_env=False, **options)
