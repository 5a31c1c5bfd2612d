"""Where the scale of `match` has its middle: what the best of four looks finds on dev tasks, search beside coding.

No model takes part. The cosines are kept beside the records, since the passages are not in the repository.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.private_knowledge.rules import MATCH_JUROR
from sale import config
from sale.agents.respondents import MATCH_MIDDLE
from sale.auction.scoring import MAX_SCORE
from sale.bench.tasks.schema import BenchTask
from sale.market import Market

COLUMNS = ("task", "domain", "agent", "cosine")


async def look(pool: Path, tasks: Sequence[BenchTask], out: Path) -> None:
    """Let every agent of the pool look, and write how well `match` likes what it found.

    Raises:
        SaleError: A passage file is not there (`scripts/build_private_knowledge.py` makes them).
    """
    settings = config.load(pool)
    free = settings.model_copy(
        update={
            "agents": tuple(agent.model_copy(update={"judge": False}) for agent in settings.agents),
            "jurors": tuple(juror for juror in settings.jurors if juror.name == MATCH_JUROR),
            "auction": replace(settings.auction, plans=False),
            "memory": settings.memory.model_copy(update={"enabled": False}),
        }
    )
    market = Market.from_config(settings=free)
    with out.open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow(COLUMNS)
        for task in tasks:
            auction = await market.auction(task.task)
            for bid in auction.bids:
                for score in bid.scores:
                    if not score.imputed:
                        written.writerow([task.id, task.domain, bid.agent, f"{score.value / MAX_SCORE:.4f}"])


def told(path: Path) -> str:
    """The best cosine of each task, by domain, and how many lie above the middle."""
    best: dict[str, dict[str, float]] = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            known = best[row["domain"]]
            known[row["task"]] = max(known.get(row["task"], 0.0), float(row["cosine"]))
    lines = ["| tasks | best cosine of the looks, least to most | above the middle |", "| --- | --- | --- |"]
    for domain, known in sorted(best.items()):
        values = sorted(known.values())
        above = sum(value > MATCH_MIDDLE for value in values)
        lines.append(f"| {domain} | {values[0]:.2f} to {values[-1]:.2f} | {above} of {len(values)} |")
    return "\n".join(lines)
