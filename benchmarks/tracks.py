"""How well track records foretell success, by how they weigh the past: leave-one-out log-loss on recorded tasks.

    python -m benchmarks.tracks [RECORD.jsonl.xz …]

Each agent's success without a plan is foretold from all the other recorded tasks: its own rate there, and its track
record, smoothed towards that rate. Lower is better; the constant row knows the rate alone. `by likeness` weighs a past
task by e^((cosine − 1) / bandwidth), `by the nearest` by e^((cosine − nearest) / bandwidth), damped where even the
nearest is not alike, which is what `sale.memory.track_records` does. Without arguments the dev tasks on record are
read: what is chosen here must not be chosen on the tasks it is measured on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sale.bench.replay import load_recorded
from sale.bench.routers.features import Embeddings
from sale.bench.routers.protocol import Floats
from sale.bench.tasks.hst_open import hst_open
from sale.memory.track_records import ALIKE
from sale.models.embedding import MiniLMEmbedder

RECORDS = Path(__file__).with_name("records") / "hst-open"
BANDWIDTHS = (0.03, 0.05, 0.07, 0.1, 0.13, 0.2, 0.3, 0.5)
PRIORS = (2.0, 4.0)
"""How many tasks an agent's own rate stands for."""
EDGE = 0.005


def loss(success: Floats, foretold: Floats) -> float:
    """Mean log-loss over tasks and agents, both of shape (T, A)."""
    p = np.clip(foretold, EDGE, 1.0 - EDGE)
    return float(-(success * np.log(p) + (1.0 - success) * np.log(1.0 - p)).mean())


def smoothed(success: Floats, weights: Floats, rates: Floats, prior: float) -> Floats:
    """(T, A) share of weighted successes, with a prior. Weights are (T, T), 0 for the task itself."""
    return (weights @ success + prior * rates) / (weights.sum(axis=1, keepdims=True) + prior)


def main(paths: list[Path]) -> None:
    """Print the table."""
    known = [(path, load_recorded(path, hst_open())) for path in paths if path.exists()]
    tasks = [task for _, record in known for task in record.tasks]
    if len(tasks) < 2:
        sys.exit("no record with two whole tasks: name some, or record dev tasks with `sale bench run`")
    success = np.concatenate([record.table(planned=False).success for _, record in known if record.tasks])
    vectors = Embeddings(MiniLMEmbedder())([task.prompt for task in tasks])
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    nearest = alike.max(axis=1, keepdims=True)
    rates = (success.sum(axis=0) - success + 0.5) / len(tasks)
    print(f"{len(tasks)} tasks of {', '.join(path.name for path, _ in known)}")
    print(f"{'':>10} " + " ".join(f"{f'by likeness, {p:g}':>16} {f'by the nearest, {p:g}':>18}" for p in PRIORS))
    print(
        f"{'constant':>10} " + " ".join(f"{loss(success, rates):>16.4f} {loss(success, rates):>18.4f}" for _ in PRIORS)
    )
    for bandwidth in BANDWIDTHS:
        absolute = np.exp((alike - 1.0) / bandwidth)
        relative = np.exp((alike - nearest) / bandwidth) * np.clip(nearest / ALIKE, 0.0, 1.0)
        cells = [
            f"{loss(success, smoothed(success, absolute, rates, prior)):>16.4f} "
            f"{loss(success, smoothed(success, relative, rates, prior)):>18.4f}"
            for prior in PRIORS
        ]
        print(f"{bandwidth:>10g} " + " ".join(cells))


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[1:]]
    main(given or sorted(RECORDS.glob("*-dev.jsonl.xz")))
