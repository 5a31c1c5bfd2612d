"""A soak: conversations on all three protocols without a pause, and whether the gateway's memory stays flat.

    python -m benchmarks.gateway.soak --seconds 3600

Chat completions, Responses and Messages take turns, whole and streamed, in conversations of several turns. Every answer
must be whole. The resident memory of the gateway is read at even distances; it is flat where the readings of the last
third are, but for noise, no higher than those of the third before. The first third warms caches up; conversations rest
for a minute in place of half an hour, so that they are settled while it runs. Printed as JSON; ends with code 1 where
an answer was not whole or memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import httpx2

from benchmarks.gateway.contenders import served, upstream
from benchmarks.gateway.processes import Watched
from benchmarks.gateway.protocols import PROTOCOLS, Json, Protocol

TURNS = 4
"""Of a conversation."""
READINGS = 30
SECONDS = 120.0
"""For one answer."""
NOISE_MIB = 6.0
NOISE_SHARE = 0.03
"""Of the memory: an allocator gives back what it likes, when it likes."""
WORDS = "What is to be said about the delivery, and who says it to whom?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The memory at one time."""

    requests: int
    seconds: float
    rss_mib: float


@dataclass(kw_only=True, slots=True)
class Soaked:
    """What a soak found."""

    requests: dict[str, int] = field(default_factory=dict[str, int])
    """Answered whole, by path."""
    faults: dict[str, int] = field(default_factory=dict[str, int])
    readings: list[Reading] = field(default_factory=list[Reading])
    growth_mib: float = 0.0
    """The median of the last third less that of the third before."""
    flat: bool = False


async def soak(
    server: Watched, *, requests: int | None = None, seconds: float | None = None, workers: int = 6
) -> Soaked:
    """Soak a gateway that is up.

    Args:
        server: The gateway.
        requests: After how many it ends.
        seconds: After how long it ends, where no number of requests is given.
        workers: Conversations at one time.
    """
    began, found, answered, faults = time.monotonic(), Soaked(), Counter[str](), Counter[str]()
    numbers = count()

    def progress() -> float:
        done = answered.total() / requests if requests else 0.0
        return done if requests else (time.monotonic() - began) / (seconds or 1.0)

    def read() -> None:
        taken = time.monotonic() - began
        if progress() * READINGS >= len(found.readings):
            found.readings.append(Reading(requests=answered.total(), seconds=round(taken, 1), rss_mib=server.rss_mib))

    async def work(http: httpx2.AsyncClient) -> None:
        while progress() < 1.0 and not faults.total() > READINGS:
            number = next(numbers)
            await _converse(http, PROTOCOLS[number % len(PROTOCOLS)], number, answered, faults)
            read()

    base = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(base_url=base, timeout=SECONDS) as http, asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work(http))
    found.requests, found.faults = dict(answered), dict(faults)
    found.growth_mib = round(growth([one.rss_mib for one in found.readings]), 2)
    found.flat = found.growth_mib <= max(NOISE_MIB, NOISE_SHARE * found.readings[-1].rss_mib)
    return found


def growth(readings: list[float]) -> float:
    """Return the median of the last third of readings less that of the third before; 0 of fewer than three.

    Args:
        readings: In their order.
    """
    third = len(readings) // 3
    if not third:
        return 0.0
    return statistics.median(readings[-third:]) - statistics.median(readings[-2 * third : -third])


async def _converse(
    http: httpx2.AsyncClient, protocol: Protocol, number: int, answered: Counter[str], faults: Counter[str]
) -> None:
    """One conversation; every other one is streamed."""
    stream, messages = number % 2 == 0, list[Json]()
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"{number}, {turn}: {WORDS}"})
        body = {"model": "sale", "stream": stream, **protocol.body(messages)}
        try:
            done = await http.post(protocol.path, json=body, headers={"x-sale-session": f"soak-{number}"})
        except httpx2.HTTPError as error:
            faults[type(error).__name__] += 1
            return
        if done.status_code != 200:
            faults[f"HTTP {done.status_code}"] += 1
            return
        whole = protocol.end in done.text if stream else bool(done.json())
        if not whole:
            faults[f"{protocol.path}: not whole"] += 1
            return
        answered[protocol.path] += 1
        messages.append({"role": "assistant", "content": f"It is said {number} times."})


def main() -> None:
    """Soak `sale serve` over an upstream that answers at once."""
    parser = argparse.ArgumentParser(description="A soak of the gateway on all three protocols.")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--workers", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with upstream(folder), served("sale", folder, model="instant", more="session_seconds = 60") as up:
            found = asyncio.run(soak(up.watched, seconds=given.seconds, workers=given.workers))
    print(json.dumps(asdict(found), indent=1))
    sys.exit(bool(found.faults) or not found.flat)


if __name__ == "__main__":
    main()
