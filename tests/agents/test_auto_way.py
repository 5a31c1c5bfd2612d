"""How an agent works when nobody says how; and that catalogue and page say what the record of tool calls says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.tool_calls import PAGE, RECORD, read
from benchmarks.tool_calls_report import best_way, page_of, scored, wrong_entries
from benchmarks.tool_calls_set import TOOLS, requests
from sale import Task
from sale.agents.inputs import inputs_of
from sale.agents.pool import build_agents
from sale.config import parse
from sale.errors import ConfigError
from sale.models.local.catalogue import find
from sale.models.scripted import ScriptedModel, persona

AGENTS = """
[[agents]]
name = "tiny"
local = "smollm2-135m"
price = 0.01

[[agents]]
name = "small"
local = "qwen2.5-coder-0.5b"
price = 0.03

[[agents]]
name = "told"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "direct"

[[agents]]
name = "far"
endpoint = "http://127.0.0.1:9/v1"
model = "m"
price = 1.0
"""


@pytest.mark.parametrize("more", ["", "[tools]\npython = true\n"])
def test_an_embedded_model_that_is_not_there_is_said_of_its_agent(more: str) -> None:
    with pytest.raises(ConfigError, match="no model 'smolm2' in the embedded catalogue") as caught:
        build_agents(parse(f'[[agents]]\nname = "tiny"\nlocal = "smolm2"\nprice = 0.01\n{more}'))
    assert caught.value.where == "agent 'tiny'"
    assert caught.value.hint


async def modes(text: str) -> dict[str, str]:
    pool = build_agents(
        parse(AGENTS + text), wrap=lambda agent, model: ScriptedModel(persona(plan="1. x", answer="done"))
    )
    return {agent.name: (await agent.execute(Task(text="What is it?"), None)).mode for agent in pool}


@pytest.mark.parametrize("text", ["", "[tools]\npython = false\n", "[tools]\npython_state = false\n"])
async def test_without_tools_all_answer_directly(text: str) -> None:
    assert set((await modes(text)).values()) == {"direct"}


async def test_with_tools_an_embedded_model_works_as_the_catalogue_says() -> None:
    found = await modes("[tools]\npython = true\n")
    assert found == {
        "tiny": find("smollm2-135m").with_tools,
        "small": find("qwen2.5-coder-0.5b").with_tools,
        "told": "direct",
        "far": "direct",
    }
    assert found["small"] == "tools"


def test_catalogue_and_page_say_what_the_record_says() -> None:
    results = asyncio.run(scored(read(RECORD)))
    assert wrong_entries(results) == []
    page = Path(PAGE).read_text(encoding="utf-8")
    assert page_of(page, results) == page
    assert best_way(results, "nobody") is None


async def test_the_requests_can_be_met() -> None:
    """Each has one right call among the tools there are, and its checks are of inputs that tool takes."""
    tools = {tool.info.name: inputs_of(tool) for tool in TOOLS}
    assert len(requests()) == len({one["id"] for one in requests()}) == 40
    for one in requests():
        taken = tools[one["tool"]].schema["properties"]
        assert isinstance(taken, dict)
        assert set(one["arguments"]) <= set(taken)
