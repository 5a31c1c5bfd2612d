"""What the market itself adds to an auction: its own CPU, its wall time against the calls it waits for, its memory.

    python -m benchmarks.auction [--auctions 50]

Four agents, panel and per-bid jury, with refinement from a memory that holds earlier auctions. Three measurements:

1. CPU of this process per auction against models that answer at once in this process: everything that is not a model.
2. The same number of calls over HTTP to an instant endpoint in another process: this market's auctions against the
   bare `openai` client making calls of the same number, size and concurrency. The ratio is what travels.
3. Wall time with realistic latencies, against the slowest bid plus the slowest judgement of each round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sale import AuctionRules, Contractor, Market, Price, Task
from sale.config import AgentSettings
from sale.errors import CallError
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.models.endpoint import Address, EndpointModel, fixed_address
from sale.models.protocol import Model
from sale.models.scripted import Line, ScriptedModel, persona, plans_in
from sale.types import JuryMode, Prompt

PRICES = {"a-4b": 0.05, "b-8b": 0.09, "c-14b": 0.16, "d-32b": 0.36}
PLAN = " ".join(f"{step}. Do the part numbered {step} and check what it gives." for step in range(1, 9))
BID_SECONDS = {"a-4b": 0.4, "b-8b": 0.6, "c-14b": 0.9, "d-32b": 1.2}
JUDGE_SECONDS = {"a-4b": 0.2, "b-8b": 0.3, "c-14b": 0.4, "d-32b": 0.5}
TASKS = [
    f"Task {number}: sort a list of {number} records by their {number % 7}th field and count." for number in range(400)
]


def instant(name: str) -> Model:
    """An agent's model that answers at once; the dearest gets the best scores, so that the others refine.

    Its bids, with their log-probabilities, are made once: what a model does is not what is measured.
    """
    script = persona(plan=f"{PLAN} ({name})", opinion=_favour_dearest, certainty=0.7)
    made: dict[str, Line] = {}

    def answer(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str | CallError:
        if schema is not None:
            return script(prompt, schema)
        stage = prompt.template.partition("@")[0]
        if stage not in made and isinstance(said := script(prompt, schema), Line):
            made[stage] = said
        return made[stage]

    return ScriptedModel(answer)


def patient(name: str) -> Model:
    """The same with latencies."""
    script = persona(plan=f"{PLAN} ({name})", opinion=_favour_dearest)

    def slow(prompt: Prompt, schema: Mapping[str, object] | None) -> Line:
        said = script(prompt, schema)
        text = said.text if isinstance(said, Line) else str(said)
        return Line(text=text, seconds=(JUDGE_SECONDS if schema else BID_SECONDS)[name])

    return ScriptedModel(slow)


def _favour_dearest(plan: str) -> int:
    return 5 if "d-32b" in plan else 1


def pool(model_of: Callable[[str], Model]) -> list[Contractor]:
    """Four contractors over the given models."""
    return [
        Contractor(
            AgentSettings(name=name, endpoint="http://127.0.0.1", model=name),
            price=Price(input=price, output=price, blended=price),
            model=model_of(name),
        )
        for name, price in PRICES.items()
    ]


def market(model_of: Callable[[str], Model], jury: JuryMode, memory: Path | None) -> Market:
    """A market over four agents, with a memory on disk if a path is given."""

    async def opener() -> AuctionMemory:
        return await AuctionMemory.open(memory or Path(), embedder=MiniLMEmbedder())

    rules = AuctionRules(jury=jury, examples=4)
    return Market(pool(model_of), rules=rules, memory=opener if memory else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Mean cost of one auction."""

    cpu_ms: float
    wall_ms: float
    calls: float


async def measure(held: Market, auctions: int, warm: int) -> Cost:
    """Hold auctions one after the other; the first ones fill the memory and are not counted."""
    async with held:
        for text in TASKS[:warm]:
            await held.auction(Task(text=text))
        calls = 0
        cpu, wall = time.process_time(), time.perf_counter()
        for text in TASKS[warm : warm + auctions]:
            calls += len((await held.auction(Task(text=text))).settlement.calls)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(cpu_ms=1e3 * cpu / auctions, wall_ms=1e3 * wall / auctions, calls=calls / auctions)


async def embedding(texts: int) -> float:
    """CPU milliseconds of one text in the default embedder, which is a model too: each task is embedded once."""
    embedder = MiniLMEmbedder()
    await embedder.embed(TASKS[:5])
    began = time.process_time()
    for text in TASKS[5 : 5 + texts]:
        await embedder.embed([text])
    return 1e3 * (time.process_time() - began) / texts


async def latency(jury: JuryMode, memory: Path) -> tuple[float, float, bool]:
    """Wall seconds of one auction, the sum of slowest bids and judgements of its rounds, and whether it refined."""
    async with market(instant, jury, memory) as filler:
        for text in TASKS[:8]:
            await filler.auction(Task(text=text))
    async with market(patient, jury, memory) as held:
        auction = await held.auction(Task(text=TASKS[9]))
    refined = any(one.bid for one in auction.refinements)
    cheaper = [name for name in PRICES if name != "d-32b"] if refined else []
    bound = max(BID_SECONDS.values()) + max(JUDGE_SECONDS.values())
    if cheaper:
        bound += max(BID_SECONDS[name] for name in cheaper) + max(JUDGE_SECONDS.values())
    return auction.seconds, bound, refined


# --- an instant endpoint in a process of its own -------------------------------------------------------------------


async def _answer(request: Request) -> JSONResponse:
    body = json.loads(await request.body())
    shown = body["messages"][-1]["content"]
    if "response_format" in body:
        text = json.dumps({label: _favour_dearest(plan) for label, plan in plans_in(shown).items()})
    else:
        text = f"{PLAN} ({body['model']})"
    choice: dict[str, object] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if body.get("logprobs"):
        top = [{"token": str(rank), "logprob": -1.0 - rank, "bytes": None} for rank in range(20)]
        word = {"token": "word", "logprob": -1.0, "bytes": None, "top_logprobs": top}
        choice["logprobs"] = {"content": [word] * len(text.split())}
    return JSONResponse(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": 200, "completion_tokens": 90, "total_tokens": 290},
        }
    )


def serve_instantly(port: int) -> None:
    """Serve the instant endpoint; to be called in a process of its own."""
    app = Starlette(routes=[Route("/v1/chat/completions", _answer, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


async def over_http(port: int, jury: JuryMode, auctions: int) -> Cost:
    """Auctions over HTTP."""
    base = f"http://127.0.0.1:{port}/v1"
    return await measure(
        market(lambda name: EndpointModel(name, fixed_address(Address(base_url=base, model=name))), jury, None),
        auctions,
        5,
    )


async def bare_client(port: int, calls: int, auctions: int) -> Cost:
    """The `openai` client alone: as many calls, in two waves of equal concurrency, with log-probabilities."""
    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")

    def call() -> Awaitable[object]:
        return client.chat.completions.create(
            model="d-32b",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": PLAN * 2}],
            logprobs=True,
            top_logprobs=20,
        )

    async def wave(count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(_await(call()))

    async with client:
        await wave(4)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(auctions):
            await wave(calls // 2)
            await wave(calls - calls // 2)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(cpu_ms=1e3 * cpu / auctions, wall_ms=1e3 * wall / auctions, calls=calls)


async def _await(awaited: Awaitable[object]) -> None:
    await awaited


async def wait_until_up(port: int) -> None:
    """Wait until something listens at a port of this machine."""
    for _ in range(1200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise TimeoutError("the instant endpoint did not start")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the market itself adds to an auction.")
    parser.add_argument("--auctions", type=int, default=50)
    parser.add_argument("--port", type=int, default=18_431)
    arguments = parser.parse_args()
    count: int = arguments.auctions
    print(f"Python {platform.python_version()}, {multiprocessing.cpu_count()} cores, {count} auctions, 4 agents\n")
    modes: tuple[JuryMode, ...] = ("panel", "per-bid")

    own = asyncio.run(embedding(count))
    print("1. Own CPU per auction, models that answer at once")
    for jury in modes:
        with tempfile.TemporaryDirectory() as folder:
            bare = asyncio.run(measure(market(instant, jury, None), count, 5))
            kept = asyncio.run(measure(market(instant, jury, Path(folder) / "memory.sqlite3"), count, 20))
        print(f"   {jury:8} without memory {bare.cpu_ms:6.1f} ms ({bare.calls:.0f} calls)")
        print(
            f"   {jury:8} with memory    {kept.cpu_ms:6.1f} ms ({kept.calls:.0f} calls, refinement and record included)"
            f", {own:.1f} ms of it to embed the task"
        )

    print("2. Over HTTP to an instant endpoint, CPU of this process")
    server = multiprocessing.get_context("spawn").Process(target=serve_instantly, args=(arguments.port,), daemon=True)
    server.start()
    try:
        asyncio.run(wait_until_up(arguments.port))
        for jury in modes:
            ours = asyncio.run(over_http(arguments.port, jury, count))
            theirs = asyncio.run(bare_client(arguments.port, round(ours.calls), count))
            both = (
                f"market {ours.cpu_ms:6.1f} ms, bare openai client {theirs.cpu_ms:6.1f} ms for {ours.calls:.0f} calls"
            )
            print(f"   {jury:8} {both}: {ours.cpu_ms / theirs.cpu_ms:.2f} x")
    finally:
        server.terminate()
        server.join()

    print("3. Wall time against slowest bid + slowest judgement of each round")
    for jury in modes:
        with tempfile.TemporaryDirectory() as folder:
            wall, bound, refined = asyncio.run(latency(jury, Path(folder) / "memory.sqlite3"))
        rounds = "two rounds" if refined else "one round"
        print(f"   {jury:8} {wall:5.2f} s against {bound:5.2f} s ({rounds}): {wall / bound:.2f} x")

    print(f"Peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
