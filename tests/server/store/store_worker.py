"""A process that spends from a key, for the tests of budgets: `python store_worker.py PLACE SECRET TASKS DOLLARS`.

Each task reserves and settles DOLLARS until it is refused. Prints what was settled and how it ended. With TASKS 0 it
reserves once, says so, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys

from sale.errors import BudgetError
from sale.server.store.store import ServerStore


async def spend(store: ServerStore, secret: str, dollars: float) -> int:
    """How often it could."""
    done = 0
    while True:
        holder = await store.admit(secret)
        try:
            reservation = await store.reserve(holder, dollars, 1)
        except BudgetError:
            return done
        await asyncio.sleep(random.random() / 50)
        await store.settle(reservation, dollars=dollars, tokens=1)
        done += 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(place: str, secret: str, tasks: int, dollars: float) -> None:
    store = await ServerStore.open(place)
    say("ready")
    sys.stdin.readline()
    if tasks == 0:
        await store.reserve(await store.admit(secret), dollars, 1)
        say("reserved")
        await asyncio.sleep(600)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(spend(store, secret, dollars)) for _ in range(tasks)]
    await store.aclose()
    say(json.dumps({"done": sum(task.result() for task in running)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
