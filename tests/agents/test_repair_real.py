"""Work by repair with a real small model: that it goes through and is accounted for, not that it succeeds."""

from __future__ import annotations

import pytest

from sale.agents.pool import build_agents
from sale.agents.task_examples import TaskExamples
from sale.agents.tools.bubblewrap import BubblewrapSandbox
from sale.config import parse
from sale.types import Task, Usage

pytestmark = pytest.mark.slow

POOL = """
[[agents]]
name = "qwen-coder-0.5b"
local = "qwen2.5-coder-0.5b"
price = 0.03
execution = "repair"
turns = 3
answer_tokens = 256
"""
TASK = Task(
    text="Write a function that gives the letters of a text that stand at even places, last one first.\n\n"
    "It must pass this test:\n\n```python\nassert even_reversed('abcde') == 'eca'\n```",
    domain="coding",
)


async def test_a_real_model_answers_and_corrects(sandbox: BubblewrapSandbox) -> None:
    (agent,) = build_agents(parse(POOL))
    try:
        done = await agent.execute(TASK, "1. Slice with a step of two.\n2. Turn it round.")
    finally:
        await agent.aclose()
    assert done.mode == "repair"
    assert done.answer.strip()
    assert done.followed_strategy
    assert 1 <= len(done.calls) <= 3
    assert all(call.usage.input_tokens > 0 and call.usage.output_tokens > 0 for call in done.calls)
    used = sum((call.usage for call in done.calls), Usage())
    assert sum(call.dollars for call in done.calls) == pytest.approx(agent.price.dollars(used))
    assert [call.prompt.partition("@")[0] for call in done.calls] == ["work", "repair", "repair"][: len(done.calls)]
    outcome = await TaskExamples(sandbox=sandbox).verify(TASK, done.answer)
    if outcome.verdict == "success":
        assert done.trace[-1]["content"] == "the examples in the task hold"
