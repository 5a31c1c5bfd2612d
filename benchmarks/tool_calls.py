"""Forty requests that each need one tool call: how often the embedded models make it, by the way they are asked.

    python -m benchmarks.tool_calls run       # resumable: every reply is recorded as it comes
    python -m benchmarks.tool_calls report    # writes the table of docs/small-models.md from the record
    python -m benchmarks.tool_calls check     # whether page and catalogue say what the record says

The ways are those of the product: its own prompts, schemas and reading of replies. Nothing is ever done to a tool but
look at the call; programs alone are run, in the sandbox, to see what they print.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from pydantic_ai import Tool as LoopTool
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest, SystemPromptPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from benchmarks.tool_calls_report import page_of, scored, wrong_entries
from benchmarks.tool_calls_set import TOOLS, requests
from sale.agents.inputs import ToolInputs, inputs_of
from sale.agents.prompts import choose_prompt, fill_prompt, step_prompt, work_prompt
from sale.agents.steps import USE, choice_schema, step_schema
from sale.config import llama_server, models_path
from sale.errors import CallError
from sale.models.endpoint import Address, EndpointModel, SamplingOptions, fixed_address
from sale.models.local.engine import LocalEngine
from sale.models.local.weights import WeightStore
from sale.models.protocol import GenerationRequest
from sale.types import Prompt, Task

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "benchmarks" / "records" / "tool-calls.jsonl"
PAGE = ROOT / "docs" / "small-models.md"
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
ROUNDS = (("tools",), ("steps", "words"), ("choose",))
"""Ways that begin alike are asked one after the other: the engine then reads the prompt once."""
WAYS = tuple(way for together in ROUNDS for way in together)
QUARTERS = 4
"""All models and ways are asked a quarter of the requests before the next: a record that ends early is a fair one."""
AT_ONCE = 4
"""Requests at a time; the engine keeps the others waiting."""
MAX_TOKENS = 96
SECONDS = 600.0


async def run(models: Sequence[str], ways: Sequence[str], threads: int) -> None:
    """Ask what is not on record yet."""
    done = {(line["model"], line["way"], line["id"]) for line in read(RECORD)}
    server = llama_server()
    for quarter, name in product(range(QUARTERS), models):
        asking = requests()[quarter::QUARTERS]
        plan = [[(way, one) for way in together if way in ways] for together in ROUNDS for one in asking]
        todo = [[(way, one) for way, one in turn if (name, way, one["id"]) not in done] for turn in plan]
        if not any(todo):
            continue
        weights = await WeightStore(models_path()).fetch(name)
        engine = LocalEngine(weights, context=4096, threads=threads, parallel=AT_ONCE, server=server)
        endpoint = await engine.start()
        address = Address(base_url=endpoint.base_url, model=name, api_key=endpoint.api_key)
        model = EndpointModel(name, fixed_address(address), manner=SamplingOptions(logprobs=0))
        try:
            places = asyncio.Semaphore(AT_ONCE)
            about = {"model": name, "engine": "own build" if server else "wheel"}
            async with asyncio.TaskGroup() as group:
                for turn in todo:
                    group.create_task(_turn(model, turn, about, places))
        finally:
            await model.aclose()
            await engine.aclose()


async def _turn(
    model: EndpointModel,
    turn: Sequence[tuple[str, dict[str, Any]]],
    about: dict[str, str],
    places: asyncio.Semaphore,
) -> None:
    """Ask in ways that begin alike, one after the other."""
    async with places:
        for way, request in turn:
            line = {**about, "way": way, "id": request["id"], **await asked(model, way, request)}
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(json.dumps(line, ensure_ascii=False)[:200], flush=True)


async def asked(model: EndpointModel, way: str, request: dict[str, Any]) -> dict[str, Any]:
    """One reply, as it came, and what it took."""
    began = time.monotonic()
    task, shown = Task(text=request["text"]), tuple(inputs_of(tool) for tool in TOOLS)
    try:
        async with asyncio.timeout(SECONDS):
            said, tokens = await ASK[way](model, task, shown)
    except (CallError, TimeoutError) as error:
        said, tokens = {"error": f"{type(error).__name__}: {error}"[:200]}, 0
    return {**said, "tokens": tokens, "seconds": round(time.monotonic() - began, 1)}


async def natively(model: EndpointModel, task: Task, shown: Sequence[ToolInputs]) -> tuple[dict[str, Any], int]:
    """Tool calls of the protocol, as `execution = "tools"` makes them."""
    infos = [one.tool.info for one in shown]
    prompt = work_prompt(task, strategy=None, tools=infos)
    offered = [
        LoopTool[object](one.tool.run, takes_ctx=False, name=one.name, description=one.description).tool_def
        for one in shown
    ]
    response = await model_request(
        await model.for_tools(),
        [ModelRequest(parts=[SystemPromptPart(content=prompt.system), UserPromptPart(content=prompt.user)])],
        model_settings=ModelSettings(max_tokens=MAX_TOKENS, temperature=0.0),
        model_request_parameters=ModelRequestParameters(function_tools=offered, allow_text_output=True),
    )
    calls = [[part.tool_name, part.args_as_json_str()] for part in response.parts if isinstance(part, ToolCallPart)]
    return {"calls": calls, "text": response.text or ""}, response.usage.output_tokens


async def stepwise(model: EndpointModel, task: Task, shown: Sequence[ToolInputs]) -> tuple[dict[str, Any], int]:
    """A JSON object held to a schema, as `execution = "steps"` makes it."""
    reply = await model.generate(
        GenerationRequest(step_of(task, shown), max_tokens=MAX_TOKENS, schema=step_schema(shown))
    )
    return {"text": reply.text}, reply.usage.output_tokens


async def in_words(model: EndpointModel, task: Task, shown: Sequence[ToolInputs]) -> tuple[dict[str, Any], int]:
    """The same words with nothing to hold the reply to them."""
    reply = await model.generate(GenerationRequest(step_of(task, shown), max_tokens=MAX_TOKENS))
    return {"text": reply.text}, reply.usage.output_tokens


async def choosing(model: EndpointModel, task: Task, shown: Sequence[ToolInputs]) -> tuple[dict[str, Any], int]:
    """First which tool, then its inputs, each held to a schema, as `execution = "choose"` makes them."""
    tools = {one.name: one for one in shown}
    which = choose_prompt(task, strategy=None, tools=shown, steps=())
    chosen = await model.generate(GenerationRequest(which, max_tokens=MAX_TOKENS, schema=choice_schema(tools)))
    tool = tools.get(json.loads(chosen.text)[USE] if chosen.text.endswith("}") else "")
    if tool is None:
        return {"text": chosen.text}, chosen.usage.output_tokens
    fill = fill_prompt(task, strategy=None, tool=tool, steps=())
    given = await model.generate(GenerationRequest(fill, max_tokens=MAX_TOKENS, schema=tool.whole))
    tokens = chosen.usage.output_tokens + given.usage.output_tokens
    return {"calls": [[tool.name, given.text]]}, tokens


ASK = {"tools": natively, "steps": stepwise, "choose": choosing, "words": in_words}


def step_of(task: Task, shown: Sequence[ToolInputs]) -> Prompt:
    """The first step's prompt."""
    return step_prompt(task, strategy=None, tools=shown, steps=(), last=False, sourced=False)


def read(record: Path) -> list[dict[str, Any]]:
    """The record, oldest first."""
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()] if record.exists() else []


def main() -> int:
    """Run, report or check."""
    parser = argparse.ArgumentParser(description="Tool calls of the embedded models.")
    parser.add_argument("act", choices=["run", "report", "check"])
    parser.add_argument("--model", action="append", choices=MODELS)
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.act == "run":
        asyncio.run(run(given.model or MODELS, given.way or WAYS, given.threads))
        return 0
    results = asyncio.run(scored(read(RECORD)))
    text = PAGE.read_text(encoding="utf-8")
    made = page_of(text, results)
    wrong = wrong_entries(results)
    if given.act == "report":
        PAGE.write_text(made, encoding="utf-8")
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong) or (given.act == "check" and made != text))


if __name__ == "__main__":
    sys.exit(main())
