"""What one endpoint wants otherwise than the protocol says: headers, a query, fields of the body added and renamed."""

from __future__ import annotations

import pytest

from sale import Task, config
from sale.agents.contractor import Contractor
from sale.agents.pool import build_agents
from sale.agents.protocol import Agent
from sale.errors import CallError, ConfigError
from sale.models.protocol import GenerationRequest
from tests.support.endpoint import Endpoint
from tests.support.pool import PLAN

CANARY = "sk-shape-canary-77"
SHAPED = """
headers = { X-Team = "blue" }
headers_env = { api-key = "SHAPE_KEY" }
query = { api-version = "2024-10-21" }
extra_body = { reasoning_effort = "low", seed = 7 }
rename = { max_tokens = "max_completion_tokens" }
drop = ["temperature", "top_logprobs", "logprobs"]
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPE_KEY", CANARY)


def hired(endpoint: Endpoint, model: str, more: str) -> Agent:
    head = f'[[agents]]\nname = "a"\nendpoint = "{endpoint.base_url}"\nmodel = "{model}"\nprice = 1.0\n'
    (agent,) = build_agents(config.parse(head + more))
    return agent


async def test_every_request_of_an_agent_has_the_shape_its_settings_say(endpoint: Endpoint) -> None:
    agent = hired(endpoint, "good", SHAPED)
    assert isinstance(agent, Contractor)
    done = await agent.execute(Task(text="Say hello."), None)
    await agent.aclose()
    assert done.error is None
    (sent,) = endpoint.requests()
    assert sent.query == "api-version=2024-10-21"
    assert (sent.headers["x-team"], sent.headers["api-key"]) == ("blue", CANARY)
    assert (sent.body["reasoning_effort"], sent.body["seed"]) == ("low", 7)
    assert sent.body["max_completion_tokens"] == 1024
    assert sent.body.keys().isdisjoint({"max_tokens", "temperature", "logprobs", "top_logprobs"})


async def test_a_tool_loop_has_it_too(endpoint: Endpoint) -> None:
    agent = hired(endpoint, "tool-caller", f'{SHAPED}execution = "tools"\n')
    await agent.execute(Task(text="Use the tool."), None)
    await agent.aclose()
    assert len(endpoint.requests()) == 2
    for sent in endpoint.requests():
        assert sent.body["max_completion_tokens"] == 1024
        assert "temperature" not in sent.body
        assert sent.body["tools"]


async def test_a_model_that_refuses_max_tokens_is_reached_by_renaming_it(endpoint: Endpoint) -> None:
    plain, renamed = (
        hired(endpoint, "reject-max-tokens", more)
        for more in ("", 'rename = { max_tokens = "max_completion_tokens" }\n')
    )
    assert isinstance(plain, Contractor)
    assert isinstance(renamed, Contractor)
    assert (await plain.execute(Task(text="x"), None)).error is not None
    assert (await renamed.execute(Task(text="x"), None)).error is None
    assert renamed.reach is not None
    address = await renamed.reach.address()
    assert address.shape.rename == {"max_tokens": "max_completion_tokens"}, "the gateway would not know of it"
    for agent in (plain, renamed):
        await agent.aclose()


async def test_a_redirect_to_elsewhere_does_not_take_the_keys_along(endpoint: Endpoint) -> None:
    agent = hired(endpoint, "redirect", SHAPED)
    await agent.execute(Task(text="x"), None)
    await agent.aclose()
    here, elsewhere = endpoint.requests()
    assert here.headers["api-key"] == CANARY
    assert elsewhere.headers["host"].startswith("localhost")
    assert "api-key" not in elsewhere.headers
    assert CANARY not in f"{elsewhere.headers}{elsewhere.body}"


async def test_a_header_may_take_the_place_of_the_usual_key_and_is_never_repeated(endpoint: Endpoint) -> None:
    agent = hired(endpoint, "echo-key", 'headers_env = { Authorization = "SHAPE_KEY" }\n')
    assert isinstance(agent, Contractor)
    with pytest.raises(CallError) as caught:
        await agent._model.generate(GenerationRequest(PLAN, max_tokens=10))
    await agent.aclose()
    (sent,) = endpoint.requests()
    assert sent.headers["authorization"] == CANARY
    assert CANARY not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('headers = { Authorization = "Bearer x" }', "name the variables in headers_env: Authorization"),
        ('headers = { X-Api-Key = "x" }', "name the variables in headers_env: X-Api-Key"),
        ('headers = { "a b" = "x" }', "no names of headers: 'a b'"),
        ('headers = { A = "é" }', "headers hold a sign that cannot be sent: A"),
        ('headers_env = { api-key = "sk-123" }', "headers_env.api-key"),
        ('extra_body = { messages = "x" }', "messages of a request cannot be changed"),
        ('rename = { n = "stream" }', "stream of a request cannot be changed"),
        ('drop = ["tools"]', "tools of a request cannot be changed"),
        ('base_url = "http://a"', "base_url goes with provider only"),
    ],
)
def test_what_cannot_be_said_is_refused(more: str, said: str) -> None:
    head = '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1.0\n'
    with pytest.raises(ConfigError) as caught:
        config.parse(head + more)
    assert said in caught.value.message
    assert "sk-123" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('local = "smollm2-135m"\nheaders = { A = "b" }', "headers goes with endpoint or provider only"),
        ('model = "anthropic:x"\nquery = { a = "b" }', "query goes with endpoint only"),
    ],
)
def test_and_so_is_what_goes_with_another_kind_of_agent(more: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(f'[[agents]]\nname = "a"\nprice = 1.0\n{more}\n')
    assert said in caught.value.message


def test_a_variable_that_is_not_set_is_named() -> None:
    head = '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "m"\nprice = 1.0\n'
    with pytest.raises(ConfigError, match="NOT_SET_HERE"):
        build_agents(config.parse(f'{head}headers_env = {{ api-key = "NOT_SET_HERE" }}\n'))
