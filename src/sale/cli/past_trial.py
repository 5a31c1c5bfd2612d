"""The market over past work, for `sale trial --from` and `sale replay --imported`: from files, or from the memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from sale import config
from sale.bench.routers.protocol import Floats
from sale.bench.trial.past import PastComparison, PastReport, judge_past
from sale.bench.trial.verdict import Way
from sale.cli.past_files import Said, pool_prices, read_files, refuse_bad
from sale.cli.store import enter_memory
from sale.memory.importers.past_work import PastWork
from sale.models.embedding import Embedder, MiniLMEmbedder

EMBED_BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class PastTrialResult:
    """The result of a trial over past work."""

    report: PastReport
    written: str | None = None
    """The sale.toml it recommends; `None` where none is written."""

    @property
    def recommended(self) -> Way | None:
        """The cheapest that is as good; `None` where nothing is shown to be."""
        if self.report.evaluation is not None:
            return self.report.evaluation.recommended
        found = self.report.traffic.recommended if self.report.traffic is not None else None
        return None if found is None else found.way

    @property
    def spend(self) -> float | None:
        """The `--spend` of `sale fit` that goes with it; `None`: as it is unless given."""
        if self.report.evaluation is not None:
            return 1.0 if self.report.evaluation.recommended.attempts > 1 else None
        found = self.report.traffic.recommended if self.report.traffic is not None else None
        return None if found is None else found.spend


def comparison(settings: config.Settings, margin: float, attempts: int = 2) -> PastComparison:
    """Return the terms by which past work is judged, with the pool of the settings."""
    pool = tuple(agent.name for agent in settings.agents)
    return PastComparison(prices=pool_prices(settings), pool=pool, margin=margin, attempts=attempts)


def judge_files(files: Sequence[Path], said: Said, settings: config.Settings, how: PastComparison) -> PastReport:
    """Return what agents and a market would have done with the work in files; nothing of it is kept.

    Raises:
        InputError: A file cannot be read, a part of it is malformed, or too little is known.
    """
    found = read_files(files, said, settings)
    refuse_bad(
        found, "Mend it; or `sale import --skip-bad` takes the others, and `sale replay --imported` reads those."
    )
    works = [work for file in found for work in file.works]
    embedder = MiniLMEmbedder()
    return judge_past(works, asyncio.run(_embedded(embedder, (work.task for work in works), {})), how)


def judge_memory(settings: config.Settings, since: datetime | None, how: PastComparison) -> PastReport:
    """Return the same for the imported work in the memory; where its texts were left out, by their embeddings.

    Raises:
        InputError: Too little is known.
        StoreError: The memory cannot be read.
    """
    embedder = MiniLMEmbedder()

    async def read() -> tuple[list[PastWork], Mapping[str, Floats]]:
        async with enter_memory(settings) as memory:
            held = await memory.imported_work(embedder.name, since)
        known = {one.work.task: one.vector.astype(np.float64) for one in held if one.vector is not None}
        works = [one.work for one in held]
        return works, await _embedded(embedder, (work.task for work in works), known)

    return judge_past(*asyncio.run(read()), how)


async def _embedded(embedder: Embedder, texts: Iterable[str], known: Mapping[str, Floats]) -> Mapping[str, Floats]:
    found = dict(known)
    missing = [text for text in dict.fromkeys(texts) if text not in found]
    for start in range(0, len(missing), EMBED_BATCH):
        some = missing[start : start + EMBED_BATCH]
        rows = np.asarray(await embedder.embed(some), dtype=np.float64)
        found.update(zip(some, rows, strict=True))
    return found
