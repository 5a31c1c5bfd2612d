"""Work that is known of before anything is on record: what a pool did on tasks it was measured on.

It counts in track records like the memory's own, and nowhere else: nothing of it is an auction, an example to learn
from, or money spent here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sale.memory.track_records import TrackedWork


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorWork:
    """Tasks, who worked on them, how it came out and what it cost."""

    embedder: str
    """Name of the embedder of the vectors; a memory with another embedder ignores this work."""
    digests: Sequence[str]
    """`text_digest` of each task's text."""
    vectors: NDArray[np.float32]
    """Of the texts, shape (tasks, dimensions), rows of unit length."""
    work: Sequence[Sequence[TrackedWork]]
    """The executions of each task."""
