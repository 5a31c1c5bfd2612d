"""Fitting weights from records: seconds and peak memory for each objective, and how both grow.

    python -m benchmarks.fitting [--agents 8] [--sizes 1250 2500 5000 10000] [--objectives minmax margin utility]

Synthetic auctions of eight agents who all judge, everybody's outcome known. Each measurement is a fresh process, so
that its peak memory is its own; making the records is not timed but is in the peak. CPU seconds count all threads: on a
machine that does other things too they travel better than wall time. The bar at 10,000 auctions: under 30 s and 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import subprocess
import sys
import time

import numpy as np

from sale.learning.fit import fit
from sale.types import Bid, Entropy, Example, Score, Strategy, Worked

OBJECTIVES: tuple[str, ...] = ("minmax", "margin", "utility")
SIZES = (1_250, 2_500, 5_000, 10_000)
BAR_SECONDS, BAR_MIB = 30.0, 2048.0


def records(count: int, agents: int, seed: int = 0) -> list[Example]:
    """Auctions in which plans tell something of success, dearer agents do better, and jurors differ in worth."""
    rng = np.random.default_rng(seed)
    names = [f"agent-{number}" for number in range(agents)]
    prices = np.geomspace(0.05, 0.5, agents)
    ease = rng.normal(size=(count, 1)) + 0.8 * rng.normal(size=(count, agents))
    solved = rng.random((count, agents)) < 1 / (1 + np.exp(-ease - np.linspace(-1, 1.5, agents)))
    entropy = np.clip(0.4 - 0.08 * ease + 0.08 * rng.normal(size=ease.shape), 0, 1)
    tokens = np.clip(np.exp(5 + 0.3 * rng.normal(size=ease.shape)), 20, 800).astype(int)
    worth = np.linspace(0, 1, agents)
    points = np.clip(np.round(2.5 + ease[..., None] * worth + rng.normal(size=(*ease.shape, agents))), 0, 5)
    work = prices * 2500 * np.exp(0.3 * rng.normal(size=ease.shape)) / 1e6
    examples: list[Example] = []
    for row in range(count):
        bids = [
            Bid(
                strategy=Strategy(
                    agent=name,
                    text="1. Do it.",
                    tokens=int(tokens[row, place]),
                    entropy=Entropy(normalised=float(entropy[row, place]), nats=1.0, top_k=20, tokens=9),
                ),
                price=float(prices[place]),
                cost=0.0,
                value=0.0,
                scores=tuple(
                    Score(juror=juror, bidder=name, value=float(points[row, place, at]))
                    for at, juror in enumerate(names)
                ),
            )
            for place, name in enumerate(names)
        ]
        examples.append(
            Example(
                auction_id=str(row),
                task=f"task {row}",
                bids=tuple(bids),
                winner=names[row % agents],
                work={
                    name: Worked(success=bool(solved[row, place]), dollars=float(work[row, place]))
                    for place, name in enumerate(names)
                },
                overhead=1e-5,
            )
        )
    return examples


def measure(objective: str, count: int, agents: int) -> dict[str, float | str]:
    """One fit, in this process."""
    examples = records(count, agents)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cpu, wall = time.process_time(), time.perf_counter()
    found = fit(examples, objective)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "wall": wall,
        "cpu": cpu,
        "records_mib": before,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pass": found.training.held_out["pass@1"][0],
        "gain": found.training.held_out["gain"][0],
        "gap": "" if found.gap is None else f"{found.gap:.1%}",
    }


def apart(objective: str, count: int, agents: int) -> dict[str, float | str]:
    """One fit in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fitting", "--one", objective, str(count), "--agents", str(agents)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds and memory of fitting weights.")
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], int(arguments.one[1]), arguments.agents)))
        return
    cores = multiprocessing.cpu_count()
    print(f"Python {platform.python_version()}, {cores} cores, {arguments.agents} agents, all judging\n")
    print("objective  auctions   wall s    CPU s  peak MiB (records)  held-out pass@1 (gain)   gap")
    for objective in arguments.objectives:
        found: list[dict[str, float | str]] = []
        for count in arguments.sizes:
            one = apart(objective, count, arguments.agents)
            found.append(one)
            print(
                f"{objective:9} {count:9,} {one['wall']:8.1f} {one['cpu']:8.1f} {one['peak_mib']:9.0f} "
                f"({one['records_mib']:.0f})  {one['pass']:16.3f} ({one['gain']:+.3f}) {one['gap']:>7}",
                flush=True,
            )
        last = found[-1]
        if len(found) > 1:
            doublings = np.log(float(last["cpu"]) / float(found[0]["cpu"]))
            power = float(doublings / np.log(arguments.sizes[-1] / arguments.sizes[0]))
            print(f"          CPU grows with auctions to the power of {power:.2f}")
        kept = float(last["wall"]) < BAR_SECONDS and float(last["peak_mib"]) < BAR_MIB
        verdict = "within" if kept else "over"
        print(f"          {verdict} the bar of {BAR_SECONDS:.0f} s of wall time and {BAR_MIB:.0f} MiB\n")


if __name__ == "__main__":
    main()
