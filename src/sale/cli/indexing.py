"""Weights and indexed passages, made ready before the first task with progress, as it may take minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sale import config
from sale.agents.pool import searched_corpora
from sale.agents.tools.corpus import IndexProgress, index_corpus
from sale.cli.models import pull_missing
from sale.cli.progress import ProgressReport, Row
from sale.models.embedding import MiniLMEmbedder


def prepare_pool(settings: config.Settings, *, quiet: bool) -> None:
    """Fetch the weights and index the passages that agents need and this machine has not; quick where none is missing.

    A file of passages or a library that is missing is left to whoever needs it, who says so.

    Raises:
        InputError: A file of passages cannot be read.
    """
    pull_missing(settings, quiet=quiet)
    if find_spec("onnxruntime") is None:
        return
    for corpus in searched_corpora(settings):
        if corpus.is_file():
            with indexing(corpus, quiet=quiet) as progress:
                cache = config.corpora_path()
                asyncio.run(index_corpus(corpus, embedder=MiniLMEmbedder(), cache=cache, progress=progress))


@contextmanager
def indexing(corpus: Path, *, quiet: bool = False) -> Generator[IndexProgress]:
    """Show how many passages of a file are indexed; nothing where none has to be."""
    with ProgressReport(quiet=quiet) as report:
        rows: list[Row] = []

        def see(done: int, total: int) -> None:
            if not rows:
                rows.append(report.row(f"indexing {corpus.name}", unit="passage"))
            rows[0].update(done, total=total)

        yield see
