"""LangChain, Pydantic AI and LiteLLM as clients of the gateway, each as its own users write it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator

import httpx
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from benchmarks.gateway.environments import found
from tests.support.gateway_process import Served
from tests.support.hang import HANG
from tests.support.replies import ANSWER


class Point(BaseModel):
    """What a structured answer holds."""

    x: int
    y: int


@tool
def weather(day: int) -> str:
    """The weather on a day."""
    return f"day {day} is fine"


@pytest.fixture
async def langchain(served: Served) -> AsyncIterator[ChatOpenAI]:
    with httpx.Client() as client:
        async with httpx.AsyncClient() as awaited:
            yield ChatOpenAI(
                model="sale",
                base_url=served.base_url,
                api_key=SecretStr("any"),
                max_retries=0,
                timeout=HANG,
                http_client=client,
                http_async_client=awaited,
            )


def test_langchain_answers_and_streams(langchain: ChatOpenAI) -> None:
    model = langchain
    said = model.invoke("What is six times seven?")
    assert said.content == ANSWER
    assert said.usage_metadata is not None
    assert said.usage_metadata["output_tokens"] > 0
    assert "".join(str(chunk.content) for chunk in model.stream("And eight?")) == ANSWER


async def test_langchain_awaits(langchain: ChatOpenAI) -> None:
    assert (await langchain.ainvoke("And nine?")).content == ANSWER


def test_langchain_calls_tools(langchain: ChatOpenAI) -> None:
    model = langchain.bind_tools([weather])
    asked = HumanMessage("How will it be? fault:calls")
    said = model.invoke([asked])
    (call,) = said.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"day": 2})
    done = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    assert model.invoke([asked, said, done]).content == f"{ANSWER} The tool said: day 2 is fine"


def test_langchain_reads_structures(langchain: ChatOpenAI) -> None:
    model = langchain.with_structured_output(Point, method="json_schema")
    assert model.invoke("Where?") == Point(x=3, y=4)


@pytest.fixture
async def pydantic_ai(served: Served) -> AsyncIterator[OpenAIChatModel]:
    async with AsyncOpenAI(base_url=served.base_url, api_key="any", max_retries=0) as client:
        yield OpenAIChatModel("sale", provider=OpenAIProvider(openai_client=client))


async def test_pydantic_ai_runs_its_own_tools(pydantic_ai: OpenAIChatModel) -> None:
    agent = Agent(pydantic_ai)
    asked: list[int] = []

    @agent.tool_plain
    def temperature(day: int) -> str:  # pyright: ignore[reportUnusedFunction]
        """The temperature on a day."""
        asked.append(day)
        return "20 degrees"

    result = await agent.run("How warm will it be? fault:calls")
    assert asked == [2]
    assert result.output == f"{ANSWER} The tool said: 20 degrees"
    assert result.usage.requests == 2


async def test_pydantic_ai_streams(pydantic_ai: OpenAIChatModel) -> None:
    async with Agent(pydantic_ai).run_stream("Count.") as result:
        parts = [part async for part in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(parts) == ANSWER


LITELLM = """
import asyncio, json, sys
import litellm
litellm.telemetry = False
asked = {"model": "openai/sale", "api_base": sys.argv[1], "api_key": "any", "num_retries": 0, "timeout": 30}
messages = [{"role": "user", "content": "What is six times seven?"}]
whole = litellm.completion(messages=messages, **asked)
stream = litellm.completion(messages=[{"role": "user", "content": "And eight?"}], stream=True, **asked)
awaited = asyncio.run(litellm.acompletion(messages=[{"role": "user", "content": "And nine?"}], **asked))
try:
    litellm.completion(messages=messages, **{**asked, "model": "openai/nobody"})
except litellm.NotFoundError as error:
    refused = type(error).__name__
print(json.dumps({
    "whole": whole.choices[0].message.content,
    "usage": whole.usage.completion_tokens,
    "stream": "".join(chunk.choices[0].delta.content or "" for chunk in stream),
    "awaited": awaited.choices[0].message.content,
    "refused": refused,
}))
"""


def test_litellm_as_a_client(served: Served) -> None:
    programs = found("litellm")
    if programs is None:
        pytest.skip("LiteLLM is not installed: python -m benchmarks.gateway.environments litellm")
    done = subprocess.run(
        [str(programs / "python"), "-c", LITELLM, served.base_url],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(served.folder)},
    )
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout.splitlines()[-1])
    assert heard.pop("usage") > 0
    assert heard == {"whole": ANSWER, "stream": ANSWER, "awaited": ANSWER, "refused": "NotFoundError"}
