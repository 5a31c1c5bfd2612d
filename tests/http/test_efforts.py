"""A reasoning effort reaches the model, by whichever protocol: in bids, in judgements and at work."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from sale import Market, Task, config
from sale.agents.contractor import Contractor
from sale.agents.pool import build_agents
from sale.errors import ConfigError
from tests.support.endpoint import Endpoint
from tests.support.provider_server import ProviderServer

GOOGLE = find_spec("google") is not None and find_spec("google.genai") is not None
TWO = """
[[agents]]
name = "a"
endpoint = "{url}"
model = "good"
price = 1.0
efforts = ["low", "high"]
"""


async def test_agents_of_one_model_differ_in_every_call_and_on_record(endpoint: Endpoint, tmp_path: Path) -> None:
    text = TWO.format(url=endpoint.base_url) + f'[memory]\npath = "{tmp_path / "memory.sqlite3"}"\n'
    async with Market.from_config(settings=config.parse(text)) as market:
        result = await market.run("What is six times seven?")
        memory = await market.memory()
        assert memory is not None
        await market.feedback(result.auction.id, "success")
        tracks = await memory.track_records(Task(text="What is six times seven?"), ["a-low", "a-high"])
    asked = [sent.body["reasoning_effort"] for sent in endpoint.requests()]
    # Bids and judgements of both, and the winner's work.
    assert sorted(asked[:-1]) == ["high", "high", "low", "low"]
    assert asked[-1] == result.execution.agent.removeprefix("a-")
    assert {bid.agent for bid in result.auction.bids} == {"a-low", "a-high"}
    assert {agent: track.successes > 0 for agent, track in tracks.items()} == {
        agent: agent == result.execution.agent for agent in ("a-low", "a-high")
    }
    assert all("temperature" not in sent.body for sent in endpoint.requests())


async def test_a_tool_loop_sends_it_and_a_temperature_that_was_given(endpoint: Endpoint) -> None:
    text = TWO.format(url=endpoint.base_url).replace('"good"', '"tool-caller"')
    low, high = build_agents(config.parse(f'{text}temperature = 1.0\nexecution = "tools"\n'))
    await high.execute(Task(text="Use the tool."), None)
    for agent in (low, high):
        await agent.aclose()
    assert len(endpoint.requests()) == 2
    for sent in endpoint.requests():
        assert (sent.body["reasoning_effort"], sent.body["temperature"]) == ("high", 1.0)


def test_clients_may_still_lead_the_conversation(endpoint: Endpoint) -> None:
    for agent in build_agents(config.parse(TWO.format(url=endpoint.base_url))):
        assert isinstance(agent, Contractor)
        assert agent.reach is not None
        assert agent.reach.effort == agent.effort == agent.name.removeprefix("a-")


class TestProviders:
    @pytest.fixture(autouse=True)
    def _key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NATIVE_KEY", "sk-effort-canary-3b1d")

    def one(self, url: str, model: str, more: str) -> Contractor:
        text = (
            f'[[agents]]\nname = "a"\nmodel = "{model}"\nbase_url = "{url}"\napi_key_env = "NATIVE_KEY"\nprice = 1.0\n'
        )
        (agent,) = build_agents(config.parse(text + more))
        assert isinstance(agent, Contractor)
        return agent

    @pytest.mark.skipif(find_spec("anthropic") is None, reason="anthropic is not installed")
    @pytest.mark.parametrize(("tokens", "budget"), [(8192, 2048), (3000, 1500), (2047, None)])
    async def test_a_budget_of_thoughts_leaves_room_for_the_answer(self, tokens: int, budget: int | None) -> None:
        with ProviderServer() as server:
            agent = self.one(server.url, "anthropic:claude-haiku-4-5", f'effort = "low"\nanswer_tokens = {tokens}\n')
            done = await agent.execute(Task(text="What is six times seven?"), None)
            await agent.aclose()
            body = server.asked[0].body
        assert done.error is None
        assert body["max_tokens"] == tokens
        assert body.get("thinking") == (None if budget is None else {"type": "enabled", "budget_tokens": budget})
        assert "temperature" not in body

    @pytest.mark.skipif(find_spec("anthropic") is None, reason="anthropic is not installed")
    async def test_an_effort_is_sent_in_words_where_the_model_knows_words(self) -> None:
        with ProviderServer() as server:
            agent = self.one(server.url, "anthropic:claude-opus-4-6", 'effort = "high"\nanswer_tokens = 900\n')
            await agent.execute(Task(text="What is six times seven?"), None)
            await agent.aclose()
            body = server.asked[0].body
        assert body["thinking"]["type"] == "adaptive"
        assert body["output_config"]["effort"] == "high"

    @pytest.mark.skipif(not GOOGLE, reason="google.genai is not installed")
    @pytest.mark.parametrize(("effort", "budget"), [("low", 2048), ("none", 0)])
    async def test_googles_models_have_a_budget(self, effort: str, budget: int) -> None:
        with ProviderServer() as server:
            agent = self.one(server.url, "google:gemini-2.5-flash", f'effort = "{effort}"\n')
            await agent.execute(Task(text="What is six times seven?"), None)
            await agent.aclose()
            thinking = server.asked[0].body["generationConfig"]["thinkingConfig"]
        assert thinking["thinkingBudget"] == budget

    def test_a_model_that_does_not_reason_is_refused(self) -> None:
        with pytest.raises(
            ConfigError, match=r"effort cannot be said of 'gpt-4o' of 'openai-chat', which does not reason"
        ):
            self.one("http://127.0.0.1:9", "openai-chat:gpt-4o", 'effort = "low"\n')
