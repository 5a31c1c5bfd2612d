"""The offline corpus: what is found, whatever is asked, and that it is found again."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.bench.corpus import Corpus, CorpusSearch, Passage, open_corpus, read_passages
from sale.bench.tasks.hst_open import corpus_path, hst_open
from sale.errors import InputError
from sale.models.embedding import MiniLMEmbedder

PASSAGES = [
    Passage(id="1", title="Ed Wood", text="Edward Wood was an American filmmaker."),
    Passage(id="2", title="Gotham City", text="A fictional city, the home of Batman."),
    Passage(id="3", title="Öresund Bridge", text="It joins Copenhagen and Malmö and is 8 km long."),
]


async def test_words_find_the_passage_and_titles_count() -> None:
    with Corpus(PASSAGES, None, None) as corpus:
        assert [one.id for one in await corpus.search("Where does Batman live?", 1)] == ["2"]
        assert [one.id for one in await corpus.search("oresund bridge", 1)] == ["3"]
        assert await corpus.search("xylophone", 3) == ()


async def test_meaning_finds_what_words_do_not(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(
        "".join(f'{{"id":"{one.id}","title":"{one.title}","text":"{one.text}"}}\n' for one in PASSAGES), "utf-8"
    )
    embedder = MiniLMEmbedder()
    with await open_corpus(path, embedder=embedder, cache=tmp_path / "cache") as corpus:
        first = await corpus.search("motion picture director", 1)
        assert [one.id for one in first] == ["1"]
    (kept,) = (tmp_path / "cache").iterdir()
    written = kept.stat().st_mtime_ns
    with await open_corpus(path, embedder=embedder, cache=tmp_path / "cache") as corpus:
        assert await corpus.search("motion picture director", 1) == first
    assert kept.stat().st_mtime_ns == written


@settings(max_examples=200, deadline=None)
@given(query=st.text(max_size=80))
async def test_any_text_is_a_query(query: str) -> None:
    with Corpus(PASSAGES, None, None) as corpus:
        assert len(await corpus.search(query, 2)) <= 2
        assert await CorpusSearch(corpus).run(query)


@pytest.mark.parametrize("line", ["{}", "[]", "no json", '{"id":"1","title":"x"}'])
def test_a_line_that_is_no_passage_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(f'{{"id":"1","title":"t","text":"x"}}\n{line}\n', "utf-8")
    with pytest.raises(InputError) as caught:
        read_passages(path)
    assert caught.value.where == f"{path}:2"


def test_a_corpus_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for name, data in (("gone.jsonl", None), ("cut.jsonl.xz", lzma.compress(b"x" * 99)[:-20]), ("empty.jsonl", b"")):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(InputError):
            read_passages(path)


async def test_the_shipped_passages_hold_what_the_questions_need() -> None:
    passages = read_passages(corpus_path())
    titles = {one.title for one in passages}
    asked = [task for task in hst_open(domain="search") if task.evidence]
    assert asked
    assert all(titles & set(task.evidence) for task in asked)
    with Corpus(passages, None, None) as corpus:
        found = 0
        for task in asked:
            got = await corpus.search(task.prompt.splitlines()[0], 3)
            found += bool({one.title for one in got} & set(task.evidence))
    # By words alone, from the bare question: the instrument must not make search the lottery.
    assert found / len(asked) > 0.7
