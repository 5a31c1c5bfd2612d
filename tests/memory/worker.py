"""Another process that uses a memory: `python -m tests.memory.worker <file> <command> [argument…]`.

It says what it has done, a line each, once that is on disk. Commands:

    opened                      open, say so, wait to be killed
    until <step>                live one auction up to begin, award or settle, then wait to be killed
    inside <step>               stop in the middle of the transaction of a step, then wait to be killed
    migrating                   stop where some of the tables are made, then wait to be killed
    forever                     auctions one after the other
    live <prefix> <count>       that many auctions, five at a time; recall and feedback among them
    forget <id>
    import <file>
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, event

from sale.memory import lifecycle, writing
from sale.memory.schema import scores
from sale.memory.store import AuctionMemory
from sale.types import Task
from tests.memory.builders import BASELINE, HashEmbedder, auction, bid, execution, outcome, remember

NAMED = {"begin": "begun", "award": "awarded", "settle": "settled"}
TASK = Task(text="sort the list")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def wait() -> None:
    say("waiting")
    await asyncio.sleep(600)


async def step_by_step(memory: AuctionMemory, name: str, last: str) -> None:
    held = auction(name, TASK, (bid("a", 1.0), bid("b", 2.0)))
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "begin": lambda: memory.begin(name, TASK),
        "award": lambda: memory.award(held),
        "settle": lambda: memory.settle(name, execution(), outcome(), BASELINE),
    }
    for step, act in steps.items():
        await act()
        say(f"{NAMED[step]} {name}")
        if step == last:
            return


async def inside(memory: AuctionMemory, step: str) -> None:
    """Hang where a step has written a part of its rows, with the write lock held."""
    with pytest.MonkeyPatch.context() as patch:
        original = getattr(lifecycle, step)

        def half(*args: object) -> None:
            original(*args)
            hang()

        if step == "award":  # after the strategies, before the scores
            statements: dict[Table, Any] = writing.INSERT
            patch.setitem(statements, scores, Hanging())
        else:
            patch.setattr(lifecycle, step, half)
        await step_by_step(memory, "x", step)


async def live(memory: AuctionMemory, prefix: str, count: str) -> None:
    limit = asyncio.Semaphore(5)

    async def one(number: int) -> None:
        async with limit:
            name = f"{prefix}{number}"
            await remember(memory, name, f"task {prefix} {number % 7}")
            await memory.recall(TASK, "a", 3)
            await memory.feedback(name, "failure" if number % 2 else "success")

    async with asyncio.TaskGroup() as group:
        for number in range(int(count)):
            group.create_task(one(number))


async def forever(memory: AuctionMemory) -> None:
    for number in range(10**6):
        await step_by_step(memory, f"x{number}", "settle")


async def until(memory: AuctionMemory, step: str) -> None:
    await step_by_step(memory, "x", step)
    await wait()


def hang(*_: object, **__: object) -> None:
    say("waiting")
    Path("/dev/stdin").read_bytes()


class Hanging:
    """A statement that is never over, on a server, and never made, on SQLite."""

    def _execute_on_connection(self, *_: object) -> None:
        hang()

    def compile(self, **_: object) -> None:
        hang()


async def work(path: str, command: str, *arguments: str) -> None:
    if command == "migrating":
        event.listen(scores, "before_create", hang)
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        say("opened")
        commands: dict[str, Callable[..., Awaitable[object]]] = {
            "opened": wait,
            "until": partial(until, memory),
            "inside": partial(inside, memory),
            "forever": partial(forever, memory),
            "live": partial(live, memory),
            "forget": memory.forget,
            "import": memory.import_,
        }
        await commands[command](*arguments)
    say("done")


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
