"""The committed records, read once for all tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sale.bench.replay import RecordedTasks, load_recorded, merge_records
from sale.bench.tasks.hst_open import hst_open

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"
EMBEDDINGS = RECORDS / "embeddings.npz"


@cache
def pool(folder: str, split: str = "*") -> RecordedTasks:
    """A pool's records as one; nobody changes it."""
    paths = sorted((RECORDS / folder).glob(f"*-{split}.jsonl.xz"))
    return merge_records([load_recorded(path, hst_open()) for path in paths])
