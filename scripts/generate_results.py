"""Write the tables and figures of docs/results.md anew from the committed records, in under two minutes.

Sentence embeddings of the recorded texts are committed, too, so that every machine makes the same tables; `--embed`
makes that file anew, after a new recording, and does nothing else.

The page's prose is written by hand. Between `<!-- sheet: KEY -->` and `<!-- end -->` stands the table of that key;
every table is also a CSV file in docs/results/. `--check` writes nothing and ends with code 1 where something is out of
date. Only packed records are read: those that are committed. What is shipped about the embedded pool is made here, too.
"""

from __future__ import annotations

import asyncio
import io
import math
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sale.bench.replay import load_recorded
from sale.bench.report.external import external_tables
from sale.bench.report.make import make, make_pool
from sale.bench.report.recorded_embeddings import RecordedEmbeddings, texts_of
from sale.bench.report.report_table import ReportTable
from sale.bench.report.shipping import knowledge
from sale.bench.routers.features import Embeddings
from sale.bench.tasks.hst_open import hst_open
from sale.models.embedding import MiniLMEmbedder

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "benchmarks" / "records"
POOLS = {"specialists": "A pool of specialists", "hst-open": "The embedded pool"}
"""Folders of records whose domains are also reported as one, with what the pool is called."""
PAGE = ROOT / "docs" / "results.md"
TABLES = ROOT / "docs" / "results"
SHIPPED = ROOT / "src" / "sale" / "shipped"
EMBEDDINGS = RECORDS / "embeddings.npz"
PACKED = (".xz",)
TOLERANCE = 0.01
"""Points, or units of what is drawn; of a fitted number, as a share of it, too."""
_NUMBER = re.compile(rb"-?\d+\.\d+")
_SHEET = re.compile(r"(<!-- sheet: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str, made: Sequence[ReportTable]) -> str:
    """The page with its tables made anew; a table that is not made any more says so."""
    sheets = {sheet.key: sheet for sheet in made}

    def filled(found: re.Match[str]) -> str:
        sheet = sheets.get(found[2])
        return f"{found[1]}{sheet.markdown() if sheet else 'Not on record yet.'}\n{found[3]}"

    return _SHEET.sub(filled, text)


def features() -> Embeddings:
    """Sentence embeddings of recorded texts."""
    return Embeddings(RecordedEmbeddings.read(EMBEDDINGS))


def recorded_texts() -> list[str]:
    """All that is embedded for the report, in order."""
    given = hst_open()
    paths = [path for folder in POOLS for path in (RECORDS / folder).glob(f"*-*{PACKED[0]}")]
    return sorted({text for path in paths for text in texts_of(load_recorded(path, given))})


def whole() -> tuple[list[ReportTable], dict[str, bytes]]:
    """Each domain of the embedded pool by itself: tables and figures."""
    report = make(RECORDS / "hst-open", hst_open(), features(), suffixes=PACKED)
    return list(report.sheets), report.figures()


def pooled(folder: str) -> tuple[tuple[ReportTable, ...], dict[str, bytes]]:
    """A pool with its domains as one: tables and figures."""
    title = POOLS[folder]
    return make_pool(RECORDS / folder, hst_open(), features(), name=folder, title=title, suffixes=PACKED)


def shipped() -> dict[Path, bytes]:
    """What sale ships about the embedded pool."""
    records = sorted((RECORDS / "hst-open").glob(f"*-*{PACKED[0]}"))
    known = knowledge([load_recorded(path, hst_open()) for path in records], features())
    return {SHIPPED / name: content for name, content in known.as_files().items()}


def files() -> dict[Path, bytes]:
    """Every generated file with its content."""
    # Side by side, on one core each: most of the time goes into fitting baselines, whose matrices are so small that
    # several threads at one of them take five times as long as one.
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # noqa: TID251  for the workers
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        by_domain = workers.submit(whole)  # the longest first
        by_pool = [workers.submit(pooled, folder) for folder in POOLS]
        ships = workers.submit(shipped)
        outside = external_tables(RECORDS)
        sheets, drawn = by_domain.result()
        pools = [one.result() for one in by_pool]
        sheets = [*sheets, *outside, *(sheet for made, _ in pools for sheet in made)]
        drawn = {name: content for figures in (drawn, *(own for _, own in pools)) for name, content in figures.items()}
    tables = {TABLES / f"{sheet.key}.csv": sheet.csv().encode() for sheet in sheets}
    figures = {TABLES / name: content for name, content in drawn.items()}
    return {PAGE: page(PAGE.read_text(encoding="utf-8"), sheets).encode(), **tables, **figures, **ships.result()}


def same(old: bytes, new: bytes, path: Path) -> bool:
    """Whether a file says the same: tables to the letter; what is drawn or fitted but for what is the machine's."""
    if path.suffix == ".npy":
        one, other = (np.load(io.BytesIO(content)) for content in (old, new))
        return one.shape == other.shape and bool(np.allclose(one, other, atol=TOLERANCE))
    if old == new or path.suffix not in {".svg", ".json"}:
        return old == new
    before, after = _NUMBER.split(old), _NUMBER.split(new)
    lengths = zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=False)
    return before == after and all(
        math.isclose(float(one), float(two), rel_tol=TOLERANCE, abs_tol=TOLERANCE) for one, two in lengths
    )


def main() -> int:
    """Write, or check."""
    if "--embed" in sys.argv[1:]:
        asyncio.run(RecordedEmbeddings.create(recorded_texts(), MiniLMEmbedder())).write(EMBEDDINGS)
        return 0
    wanted = files()
    stale = [
        path for path, content in wanted.items() if not path.exists() or not same(path.read_bytes(), content, path)
    ]
    stale += [path for path in TABLES.glob("*") if path not in wanted and path.name != "inputs.sha256"]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stdout.write(f"out of date: {path.relative_to(ROOT)}\n")
        return 1 if stale else 0
    TABLES.mkdir(exist_ok=True)
    for path in stale:
        if path in wanted:
            path.write_bytes(wanted[path])
        else:
            path.unlink()
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
