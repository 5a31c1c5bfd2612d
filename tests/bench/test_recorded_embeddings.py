"""Embeddings kept beside the records: what the file holds, and that the embedder bears it out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from sale.bench.report.recorded_embeddings import RecordedEmbeddings, texts_of
from sale.bench.tasks.hst_open import hst_open
from sale.errors import InputError
from sale.models.embedding import MiniLMEmbedder
from tests.bench.records import EMBEDDINGS, pool
from tests.memory.builders import HashEmbedder

TEXTS = ["a task", "another task", "", "half a pair \ud800"]


async def test_what_was_embedded_comes_back_row_by_row(tmp_path: Path) -> None:
    made = await RecordedEmbeddings.create([*TEXTS, "a task"], HashEmbedder())
    made.write(tmp_path / "kept.npz")
    held = RecordedEmbeddings.read(tmp_path / "kept.npz")
    assert (held.name, held.dimensions) == (HashEmbedder().name, HashEmbedder().dimensions)
    wanted = [TEXTS[1], TEXTS[3], TEXTS[1]]
    rows = await held.embed(wanted)
    assert rows == pytest.approx(await HashEmbedder().embed(wanted), abs=1e-3)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert (await held.embed([])).shape == (0, held.dimensions)


async def test_a_text_that_is_not_on_record_is_said_with_what_to_do() -> None:
    made = await RecordedEmbeddings.create(TEXTS, HashEmbedder())
    with pytest.raises(InputError, match="1 of 2 texts are not among the recorded embeddings") as caught:
        await made.embed(["a task", "a new one"])
    assert "--embed" in str(caught.value.hint)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_a_file_that_cannot_be_read_is_said(content: bytes | None, tmp_path: Path) -> None:
    place = tmp_path / "kept.npz"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        RecordedEmbeddings.read(place)


def test_every_recorded_text_is_there() -> None:
    held = RecordedEmbeddings.read(EMBEDDINGS)
    texts = sorted(texts_of(pool("hst-open")) | texts_of(pool("specialists")))
    assert len(asyncio.run(held.embed(texts))) == len(texts)
    assert held.name == MiniLMEmbedder().name


async def test_the_committed_file_is_what_the_embedder_says() -> None:
    """Of every task; of answers, which are many more, of every tenth."""
    held = RecordedEmbeddings.read(EMBEDDINGS)
    tasks = {task.prompt for task in hst_open()} & texts_of(pool("hst-open"))
    answers = sorted((texts_of(pool("hst-open")) | texts_of(pool("specialists"))) - tasks)
    differences = await held.differences([*sorted(tasks), *answers[::10]], MiniLMEmbedder())
    assert differences.max() < 0.01
