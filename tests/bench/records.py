"""The committed records, read once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sale.bench.replay import Recorded, load_recorded, merged
from sale.bench.tasks.hst_open import hst_open

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"
EMBEDDINGS = RECORDS / "embeddings.npz"


@cache
def pool(folder: str, split: str = "*") -> Recorded:
    """A pool's records as one; nobody changes it."""
    paths = sorted((RECORDS / folder).glob(f"*-{split}.jsonl.xz"))
    return merged([load_recorded(path, hst_open()) for path in paths])
