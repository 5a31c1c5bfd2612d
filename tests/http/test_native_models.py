"""Models by their providers' own protocols: from `sale.toml` to a settled task, against servers that speak them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic_ai.providers import infer_provider_class

from sale import Market, Task, config
from sale.agents.checkup import examine
from sale.agents.contractor import Contractor
from sale.agents.pool import agent_price, build_agents
from sale.errors import CallTimeoutError, ConfigError, MissingExtraError, RejectedError
from sale.extensions import PYDANTIC_AI
from sale.models.protocol import GenerationRequest
from tests.support.pool import PLAN
from tests.support.provider_server import ProviderServer

KEY = "sk-native-canary-91c4"
MODELS = {
    "anthropic": ("claude-haiku-4-5", "anthropic"),
    "google": ("gemini-2.5-flash", "google.genai"),
    "bedrock": ("us.amazon.nova-micro-v1:0", "boto3"),
}
"""By provider, a model it has, and what its client is imported as."""


def _there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


PROVIDERS = [
    pytest.param(provider, marks=pytest.mark.skipif(not _there(package), reason=f"{package} is not installed"))
    for provider, (_, package) in MODELS.items()
]


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer() as found:
        yield found


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATIVE_KEY", KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{KEY}-secret")
    for name in ("ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def toml(server: ProviderServer, provider: str, model: str = "", more: str = "") -> str:
    model = model or MODELS[provider][0]
    # A key of Bedrock is sent over HTTPS alone; what AWS's own variables say signs requests.
    key = "" if provider == "bedrock" else 'api_key_env = "NATIVE_KEY"\n'
    return (
        f'[[agents]]\nname = "a"\nmodel = "{provider}:{model}"\nbase_url = "{server.url}"\n{key}price = 1.0\n{more}\n'
    )


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_task_from_the_file_to_the_settlement(server: ProviderServer, provider: str) -> None:
    text = toml(server, provider, more="judge = false\n[memory]\nenabled = false")
    async with Market.from_config(settings=config.parse(text)) as market:
        result = await market.run("What is six times seven?")
    assert result.answer == "Forty-two."
    assert result.auction.winner.strategy.text == "1. Read the task. 2. Answer it."
    assert result.settlement.usage.input_tokens == 2 * 31
    assert result.settlement.dollars == pytest.approx(2 * 38 / 1e6)
    assert len(server.asked) == 2
    assert all(KEY in "".join(one.headers.values()) for one in server.asked)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_checkup_reaches_it_and_says_what_it_has_not(server: ProviderServer, provider: str) -> None:
    (agent,) = build_agents(config.parse(toml(server, provider)))
    found = await examine(agent)
    await agent.aclose()
    assert found.reachable
    assert not found.logprobs
    assert isinstance(agent, Contractor)
    assert agent.reach is None


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_refusal_says_so_without_the_key(server: ProviderServer, provider: str) -> None:
    (agent,) = build_agents(config.parse(toml(server, provider, "refused")))
    assert isinstance(agent, Contractor)
    with pytest.raises(RejectedError) as caught:
        await agent._model.generate(GenerationRequest(PLAN, max_tokens=10))
    await agent.aclose()
    assert "401" in str(caught.value)
    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("status", [408, 504, 524])
async def test_what_the_provider_gave_up_waiting_for_is_not_sent_again(
    server: ProviderServer, provider: str, status: int
) -> None:
    if provider == "bedrock":
        pytest.skip("its client cannot be told not to")
    (agent,) = build_agents(config.parse(toml(server, provider, f"status-{status}")))
    assert isinstance(agent, Contractor)
    with pytest.raises(CallTimeoutError, match=str(status)):
        await agent._model.generate(GenerationRequest(PLAN, max_tokens=10))
    await agent.aclose()
    assert len(server.asked) == 1


@pytest.mark.skipif(not _there("anthropic"), reason="anthropic is not installed")
class TestAnthropic:
    def test_what_a_provider_takes_no_notice_of_is_refused(self, server: ProviderServer) -> None:
        if not _there("google.genai"):
            pytest.skip("google.genai is not installed")
        with pytest.raises(ConfigError, match="extra_body cannot be said of 'google'"):
            build_agents(config.parse(toml(server, "google", more="extra_body = { a = 1 }")))

    async def test_what_was_refused_for_now_is_asked_again(self, server: ProviderServer) -> None:
        (agent,) = build_agents(config.parse(toml(server, "anthropic", "limited")))
        done = await agent.execute(Task(text="x"), None)
        await agent.aclose()
        assert (done.error, done.answer) == (None, "Forty-two.")
        assert len(server.asked) == 2

    async def test_headers_fields_and_what_it_does_not_take(self, server: ProviderServer) -> None:
        more = 'headers = { X-Team = "blue" }\nextra_body = { service_tier = "auto" }\ndrop = ["temperature"]'
        (agent,) = build_agents(config.parse(toml(server, "anthropic", more=more)))
        await agent.execute(Task(text="x"), None)
        await agent.aclose()
        (sent,) = server.asked
        assert sent.headers["x-team"] == "blue"
        assert sent.body["service_tier"] == "auto"
        assert sent.body["max_tokens"] == 1024
        assert "temperature" not in sent.body

    async def test_proxies_of_the_environment_are_not_on_the_way_to_this_machine(
        self, server: ProviderServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        (agent,) = build_agents(config.parse(toml(server, "anthropic")))
        assert (await agent.execute(Task(text="x"), None)).error is None
        await agent.aclose()

    def test_its_price_is_looked_up(self) -> None:
        (agent,) = config.parse('[[agents]]\nname = "a"\nmodel = "anthropic:claude-haiku-4-5"\n').agents
        price = agent_price(agent)
        assert 0 < price.input < price.output

    async def test_it_can_be_used_from_one_event_loop_after_another(self, server: ProviderServer) -> None:
        settings = config.parse(toml(server, "anthropic", more="judge = false\n[memory]\nenabled = false"))
        (agent,) = build_agents(settings)

        async def work() -> str:
            try:
                return (await agent.execute(Task(text="x"), None)).answer
            finally:
                await agent.aclose()

        assert [await asyncio.to_thread(asyncio.run, work()) for _ in range(2)] == ["Forty-two."] * 2


PACKAGE = """
from pydantic_ai.models.test import TestModel

def parrot(model: str, words: str = "Polly.", volume: int = 1):
    return TestModel(custom_output_text=f"{model}: {words * volume}")

def nothing(model: str):
    return 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"models_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PACKAGE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def own(path: str, more: str = "") -> str:
    return f'[[agents]]\nname = "a"\nprovider = "{path}"\nmodel = "big"\nprice = 1.0\n{more}\n'


class TestOfYourOwn:
    async def test_a_dotted_path_makes_the_model_with_settings_of_its_own(self, package: str) -> None:
        (agent,) = build_agents(config.parse(own(f"{package}:parrot", 'words = "Hello. "\nvolume = 2')))
        done = await agent.execute(Task(text="x"), None)
        assert (done.error, done.answer) == (None, "big: Hello. Hello. ")
        await agent.aclose()

    @pytest.mark.parametrize(
        ("path", "more", "said"),
        [
            (":parrot", "volume = true", "volume"),
            (":parrot", 'colour = "red"', "colour cannot be said of the provider of models"),
            (":parrot", "volum = 2", "volum: unknown key; did you mean 'volume'?"),
            (":parrot", 'base_url = "http://a"', "base_url cannot be said of the provider of models"),
            (":nothing", "", "lacks the base class pydantic_ai.models.Model"),
            (":gone", "", "there is no 'gone'"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_line(self, package: str, path: str, more: str, said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            build_agents(config.parse(own(f"{package}{path}", more)))
        assert said in str(caught.value)
        assert caught.value.where == "agent 'a'"
        assert "\n" not in str(caught.value)


def test_what_a_provider_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = '[[agents]]\nname = "a"\nprice = 1.0\n'
    if not _there("groq"):
        with pytest.raises(MissingExtraError) as caught:
            build_agents(config.parse(f'{agent}model = "groq:x"'))
        assert "sale[groq]" in caught.value.hint
    with pytest.raises(ConfigError, match=r"MISTRAL_API_KEY|not installed"):
        build_agents(config.parse(f'{agent}model = "mistral:x"'))
    with pytest.raises(ConfigError, match="did you mean 'anthropic'"):
        config.parse(f'{agent}model = "anthropc:x"')
    with pytest.raises(ConfigError, match="a provider needs the name of a model"):
        config.parse(f'{agent}provider = "anthropic"')
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        config.parse(f'{agent}model = "anthropic:x"\ntemprature = 0.5')


def test_keys_of_a_cloud_are_never_in_the_file() -> None:
    if not _there("boto3"):
        pytest.skip("boto3 is not installed")
    text = '[[agents]]\nname = "a"\nprice = 1.0\nmodel = "bedrock:x"\naws_secret_access_key = "s"\n'
    with pytest.raises(ConfigError, match="aws_secret_access_key cannot be said of 'bedrock'"):
        build_agents(config.parse(text))


@pytest.mark.parametrize("provider", PYDANTIC_AI)
def test_every_provider_that_is_named_is_one_of_pydantic_ai(provider: str) -> None:
    try:
        assert infer_provider_class(provider)
    except ImportError:
        return  # it is one, and its client is not here
