"""What compaction costs the memory's two uses: track records, and pairs for refinement. On the recorded pools.

    python -m benchmarks.compaction [RECORD.jsonl.xz …] [--keep 0.1]

The recorded tasks are split into five folds. Those of four are put into a memory, each with its recorded bids and the
work of every agent; those of the fifth are asked about, first before compaction, then after it with a tenth of the
auctions left, and, to compare, with a tenth left at random and nothing kept of the others. Each agent's success is
foretold from its track record, smoothed towards its rate among the four folds: log-loss, lower is better. Pairs are the
three that the agent with most bids would learn from: how many of three are found, and how like the present task.
Differences are paired by task, with 95 % intervals of a bootstrap over tasks; no model is asked. `at most` is no state
of a memory: it is a bound on the likeness that any choice of as many auctions can have, were it made with the tasks of
the fifth in hand, by linear programming (facility location without whole numbers).
"""

# scipy says little of the types of its results.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import RecordedTasks, load_recorded
from sale.bench.routers.features import Embeddings
from sale.bench.stats import Resampling, compare_paired
from sale.bench.tasks.hst_open import hst_open
from sale.bench.tasks.schema import BenchTask
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.types import Attempt, Auction, Call, Execution, Outcome, Settlement, Task, Usage, Weights

RECORDS: Final = Path(__file__).with_name("records") / "hst-open"
FOLDS: Final = 5
PAIRS: Final = 3
PRIOR: Final = 2.0
EDGE: Final = 0.005
SEED: Final = 7
BEFORE, AFTER, RANDOM = "before", "compacted", "at random"
NOTHING: Final = Usage(input_tokens=0, output_tokens=0)


class KnownVectors:
    """Vectors made beforehand, by text."""

    name = "known"

    def __init__(self, vectors: dict[str, NDArray[np.float32]]) -> None:
        self._vectors = vectors
        self.dimensions = len(next(iter(vectors.values())))

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Their vectors."""
        return np.stack([self._vectors[text] for text in texts])

    def of(self, tasks: Sequence[BenchTask]) -> NDArray[np.float32]:
        """Those of tasks."""
        return np.stack([self._vectors[task.prompt] for task in tasks])


@dataclass
class Figures:
    """Of one state of the memory, by task asked about."""

    losses: list[float] = field(default_factory=list[float])
    likeness: list[float] = field(default_factory=list[float])
    found: list[float] = field(default_factory=list[float])
    rows: int = 0


async def put(memory: AuctionMemory, recorded: RecordedTasks, task: BenchTask) -> bool:
    """The recorded auction of a task, its winner's work and then that of the others."""
    row = recorded.auctions[FIRST_BIDS, task.id]
    winner = next((bid for bid in row.bids if bid.agent == row.winner), None)
    if winner is None:
        return False
    present = Task(text=task.prompt)
    held = Auction(
        id=task.id,
        task=present,
        bids=row.bids,
        provisional=winner.agent,
        refinements=(),
        winner=winner,
        dropouts=(),
        weights=Weights(cost=1.0, entropy=0.0, jurors={}),
        jury="panel",
        settlement=Settlement(calls=()),
        seconds=0.0,
    )
    await memory.begin(task.id, present)
    await memory.award(held)
    order = [winner.agent, *(agent for agent in recorded.agents if agent != winner.agent)]
    done = [_attempt(recorded, task, agent) for agent in order]
    *earlier, last = done
    await memory.settle(task.id, last.execution, last.outcome, earlier=earlier)
    return True


def _attempt(recorded: RecordedTasks, task: BenchTask, agent: str) -> Attempt:
    work = recorded.works[task.id, agent, ""]
    paid = Call(stage="execute", agent=agent, usage=NOTHING, dollars=work.dollars, seconds=0.0)
    execution = Execution(
        agent=agent, answer="", mode="direct", followed_strategy=False, trace=(), calls=(paid,), seconds=0.0
    )
    return Attempt(
        execution=execution, outcome=Outcome(verdict="success" if work.success else "failure", judged_by="tests")
    )


async def ask(
    memory: AuctionMemory, recorded: RecordedTasks, asked: Sequence[BenchTask], rates: dict[str, float], into: Figures
) -> None:
    """Foretell the success of each agent, and recall pairs."""
    learner = learner_of(recorded)
    for task in asked:
        present = Task(text=task.prompt)
        known = await memory.track_records(present, recorded.agents)
        losses: list[float] = []
        for agent in recorded.agents:
            one = known[agent]
            share = (one.successes + PRIOR * rates[agent]) / (one.successes + one.failures + PRIOR)
            p = float(np.clip(share, EDGE, 1 - EDGE))
            losses.append(-np.log(p if recorded.works[task.id, agent, ""].success else 1 - p))
        into.losses.append(float(np.mean(losses)))
        pairs = await memory.recall(present, learner, PAIRS)
        into.found.append(len(pairs))
        into.likeness.append(float(np.mean([pair.similarity for pair in pairs])) if pairs else 0.0)
    into.rows += len(await memory.list(10**6))


def bound(vectors: KnownVectors, recorded: RecordedTasks, number: int, keep: float) -> float:
    """The sum over a fold's tasks of the likeness of their pairs that no choice of auctions to keep exceeds."""
    known = [task for place, task in enumerate(recorded.tasks) if place % FOLDS != number]
    asked = [task for place, task in enumerate(recorded.tasks) if place % FOLDS == number]
    learner = learner_of(recorded)
    rows = {task.id: recorded.auctions[FIRST_BIDS, task.id] for task in known}
    held = [task for task in known if rows[task.id].winner in {bid.agent for bid in rows[task.id].bids}]
    won = {task.id: recorded.works[task.id, rows[task.id].winner or "", ""].success for task in held}
    rivals = {task.id: {bid.agent for bid in rows[task.id].bids} for task in held}
    usable = [task for task in held if won[task.id] and len(rivals[task.id]) > 1 and learner in rivals[task.id]]
    if not usable:
        return 0.0
    likeness = np.maximum(vectors.of(asked) @ vectors.of(usable).T, 0.0).astype(np.float64)
    tasks, auctions = likeness.shape
    # An auction serves a task only where it is kept; three serve a task; so many are kept.
    cell = np.arange(tasks * auctions)
    kept, ones = tasks * auctions + np.arange(auctions), np.ones(tasks * auctions)
    served, all_kept = tasks * auctions + cell // auctions, np.full(auctions, tasks * auctions + tasks)
    rows_of = np.concatenate((cell, cell, served, all_kept))
    columns = np.concatenate((cell, kept[cell % auctions], cell, kept))
    values = np.concatenate((ones, -ones, ones, np.ones(auctions)))
    limits = np.concatenate((np.zeros(tasks * auctions), np.full(tasks, PAIRS), [max(1, round(keep * len(held)))]))
    worth = np.concatenate((likeness.ravel() / PAIRS, np.zeros(auctions)))
    matrix = coo_matrix((values, (rows_of, columns)))
    return -float(linprog(-worth, A_ub=matrix, b_ub=limits, bounds=(0, 1), method="highs").fun)


def learner_of(recorded: RecordedTasks) -> str:
    """The agent with most bids."""
    bids = Counter(bid.agent for row in recorded.auctions.values() for bid in row.bids)
    return max(recorded.agents, key=lambda agent: bids[agent])


async def fold(
    folder: Path, vectors: KnownVectors, recorded: RecordedTasks, number: int, keep: float, into: dict[str, Figures]
) -> None:
    """One fold's questions to each state of a memory of the others."""
    known = [task for place, task in enumerate(recorded.tasks) if place % FOLDS != number]
    asked = [task for place, task in enumerate(recorded.tasks) if place % FOLDS == number]
    rates = {
        agent: float(np.mean([recorded.works[task.id, agent, ""].success for task in known]))
        for agent in recorded.agents
    }
    for state, figures in into.items():
        path = folder / f"{number}-{state.replace(' ', '-')}-{len(figures.losses)}.sqlite3"
        async with await AuctionMemory.open(path, embedder=vectors) as memory:
            held = [task.id for task in known if await put(memory, recorded, task)]
            left = max(1, round(keep * len(held)))
            if state == AFTER:
                await memory.compact(left)
            if state == RANDOM:
                await memory.forget(*random.Random(SEED + number).sample(held, len(held) - left))
            await ask(memory, recorded, asked, rates, figures)


async def main(paths: Sequence[Path], keep: float) -> None:
    """Print the table."""
    pools = [load_recorded(path, hst_open()) for path in paths]
    texts = list(dict.fromkeys(task.prompt for recorded in pools for task in recorded.tasks))
    if not texts:
        sys.exit("no record with whole tasks")
    made = Embeddings(MiniLMEmbedder())(texts).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    vectors = KnownVectors(dict(zip(texts, made, strict=True)))
    figures = {state: Figures() for state in (BEFORE, AFTER, RANDOM)}
    with tempfile.TemporaryDirectory(prefix="sale-compaction-") as name:
        for recorded in pools:
            for number in range(FOLDS if recorded.tasks else 0):
                await fold(Path(name), vectors, recorded, number, keep, figures)
    before = figures[BEFORE]
    print(f"{len(before.losses)} tasks asked about, of {', '.join(path.name for path in paths)}")
    print(
        f"{'':>12} {'auctions':>9} {'log-loss':>9} {'difference':>28} {'pairs':>6} {'likeness':>9} {'difference':>28}"
    )
    for state, one in figures.items():
        print(
            f"{state:>12} {one.rows:>9,} {np.mean(one.losses):>9.4f} {_difference(one.losses, before.losses):>28} "
            f"{np.mean(one.found):>6.2f} {np.mean(one.likeness):>9.3f} "
            f"{_difference(one.likeness, before.likeness):>28}"
        )
    most = sum(
        bound(vectors, recorded, number, keep) for recorded in pools for number in range(FOLDS if recorded.tasks else 0)
    )
    most /= len(before.likeness)
    print(f"{'at most':>12} {figures[AFTER].rows:>9,} {'':>45} {most:>9.3f} {most - np.mean(before.likeness):>+28.4f}")


def _difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    found = compare_paired(ours, theirs, Resampling(seed=SEED)).difference
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, nargs="*")
    parser.add_argument("--keep", type=float, default=0.1)
    given = parser.parse_args()
    asyncio.run(main(given.records or sorted(RECORDS.glob("*-*.jsonl.xz")), given.keep))
