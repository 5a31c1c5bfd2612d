"""One word from each agent about each recorded task, as the log-probabilities of yes and no."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sale.auction.prompts.templates import load_folder
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedTasks
from sale.bench.tasks.schema import BenchTask
from sale.config import llama_server, models_path
from sale.models.endpoint import Address, EndpointModel, SamplingOptions, fixed_address
from sale.models.local.engine import LocalEngine
from sale.models.local.weights import WeightStore
from sale.models.protocol import GenerationRequest
from sale.types import Prompt, Reply

BEFORE, PLANNED, DONE = "before the work", "after its plan", "after its answer"
MOMENTS = (BEFORE, PLANNED, DONE)
AGENTS = {
    "smollm2-135m": "smollm2-135m",
    "qwen-coder-0.5b": "qwen2.5-coder-0.5b",
    "qwen-coder-1.5b": "qwen2.5-coder-1.5b",
}
"""Of the embedded pool, with the weights each runs on."""
QUARTERS = 4
"""Everybody is asked about a quarter of the tasks before the next: a record that ends early is a fair one."""
AT_ONCE = 4
CONTEXT = 8192
MAX_CHARACTERS = 9000
"""Of a task's text: longer ones take minutes of a core each, and there are few."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One word asked for."""

    task: BenchTask
    agent: str
    moment: str
    text: str
    """The plan or the answer; empty before the work."""
    success: bool
    """What came of the work it is about."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is on record by."""
        return self.task.id, self.agent, self.moment

    @property
    def prompt(self) -> Prompt:
        """What the agent is asked."""
        nonce = hashlib.sha256(self.text.encode()).hexdigest()[:8]
        values = {"task": self.task.prompt, "moment": self.moment, "text": self.text, "nonce": nonce}
        return load_folder("benchmarks.self_estimate.prompts").render("ask", values)


def questions(recorded: RecordedTasks) -> Iterator[Question]:
    """All of a record; of an agent without a plan only what needs none, of an empty answer nothing."""
    for task, agent in product(recorded.tasks, AGENTS):
        if len(task.prompt) > MAX_CHARACTERS:
            continue
        done = recorded.works[task.id, agent, ""]
        yield Question(task=task, agent=agent, moment=BEFORE, text="", success=done.success)
        bids = recorded.auctions[FIRST_BIDS, task.id].bids
        plan = next((bid.strategy.text for bid in bids if bid.agent == agent), None)
        if plan is not None:
            success = recorded.works[task.id, agent, plan].success
            yield Question(task=task, agent=agent, moment=PLANNED, text=plan, success=success)
        if done.answer.strip():
            yield Question(task=task, agent=agent, moment=DONE, text=done.answer, success=done.success)


async def ask(asked: Sequence[Question], record: Path, threads: int) -> None:
    """Ask what is not on record yet; every answer is written as it comes."""
    known = {(line["task"], line["agent"], line["moment"]) for line in read(record)}
    tasks = list(dict.fromkeys(one.task.id for one in asked))
    for quarter, agent in product(range(QUARTERS), AGENTS):
        wanted = set(tasks[quarter::QUARTERS])
        todo = [one for one in asked if one.agent == agent and one.task.id in wanted and one.key not in known]
        if todo:
            await _of_one(agent, todo, record, threads)


async def _of_one(agent: str, todo: Sequence[Question], record: Path, threads: int) -> None:
    weights = await WeightStore(models_path()).fetch(AGENTS[agent])
    engine = LocalEngine(weights, context=CONTEXT, threads=threads, parallel=AT_ONCE, server=llama_server())
    endpoint = await engine.start()
    model = EndpointModel(
        agent,
        fixed_address(Address(base_url=endpoint.base_url, model=agent, api_key=endpoint.api_key)),
        manner=SamplingOptions(),
    )
    places = asyncio.Semaphore(AT_ONCE)

    async def one(task: str) -> None:
        async with places:
            for question in todo:  # of one task in turn: their prompts begin alike, and are read once
                if question.task.id == task:
                    reply = await model.generate(GenerationRequest(question.prompt, max_tokens=1, measure=True))
                    _write(record, question, reply)

    try:
        async with asyncio.TaskGroup() as group:
            for task in dict.fromkeys(question.task.id for question in todo):
                group.create_task(one(task))
    finally:
        await model.aclose()
        await engine.aclose()


def _write(record: Path, question: Question, reply: Reply) -> None:
    task, agent, moment = question.key
    yes, no = shares(reply)
    line = {"task": task, "agent": agent, "moment": moment, "yes": yes, "no": no, "template": question.prompt.template}
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(*question.key, f"yes {yes:.2f} no {no:.2f}", flush=True)


def shares(reply: Reply) -> tuple[float, float]:
    """How much of the first token's probability says yes, and no, among the alternatives that were reported."""
    first = reply.logprobs[0].top if reply.logprobs else ()
    said = [(text.strip().casefold(), math.exp(logprob)) for text, logprob in first]
    yes, no = (sum(share for text, share in said if text == word) for word in ("yes", "no"))
    return round(yes, 6), round(no, 6)


def read(record: Path) -> list[dict[str, Any]]:
    """The lines of a record, none where there is no file."""
    if not record.exists():
        return []
    return [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
