"""Tenants: what is recalled, counted, listed, judged, forgotten and exported is one's own, unless it is shared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.errors import InputError
from sale.memory.prior import PriorWork
from sale.memory.retrieval import IndexedAuction, RecallIndex, Vector
from sale.memory.store import AuctionMemory
from sale.memory.tenants import DEFAULT, MAX_NAME_CHARACTERS, Sharing
from sale.memory.track_records import TrackedWork
from sale.types import Bid, Task
from tests.memory.builders import HashEmbedder, Place, bid, remember

NOW = Task(text="sort the list of names")


def plans(name: str) -> tuple[Bid, ...]:
    return (bid("a", 1.0, f"winning plan of {name}"), bid("b", 2.0, f"losing plan of {name}"))


async def fill(memory: AuctionMemory) -> None:
    """Three tenants with the very same task, and one that names none."""
    for name in ("alice", "bob", "carol"):
        await remember(memory, name, NOW.text, plans(name), tenant=name)
    await remember(memory, "nobody", NOW.text, plans("nobody"))


async def recalled(memory: AuctionMemory, tenant: str | None = None) -> set[str]:
    """The auctions an agent is shown; whose texts these are is looked at, too."""
    pairs = await (memory.recall(NOW, "b", 9) if tenant is None else memory.recall(NOW, "b", 9, tenant=tenant))
    for pair in pairs:
        assert (pair.winning, pair.losing) == (
            f"winning plan of {pair.auction_id}",
            f"losing plan of {pair.auction_id}",
        )
    return {pair.auction_id for pair in pairs}


async def test_each_recalls_its_own_words_alone(memory: AuctionMemory):
    await fill(memory)
    assert await recalled(memory, "alice") == {"alice"}
    assert await recalled(memory, "carol") == {"carol"}
    assert await recalled(memory, "a stranger") == set()
    assert await recalled(memory) == await recalled(memory, DEFAULT) == {"nobody"}
    mine = await memory.of("bob").recall_each(NOW, ("b", "a"), 9)
    assert [pair.auction_id for pair in mine["b"]] == [pair.auction_id for pair in mine["a"]] == ["bob"]


async def test_numbers_are_counted_over_all_tenants_and_quote_nobody(memory: AuctionMemory):
    await fill(memory)
    for tenant in ("alice", "a stranger"):
        (record,) = (await memory.of(tenant).track_records(NOW, ("a",))).values()
        assert record.successes == pytest.approx(4.0)
        assert record.costed == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("texts", "seen"),
    [
        (False, {"alice": {"alice"}, "bob": {"bob"}, "carol": {"carol"}, DEFAULT: {"nobody"}}),
        (frozenset({"alice", "bob"}), {"alice": {"alice", "bob"}, "bob": {"alice", "bob"}, "carol": {"carol"}}),
        (True, {"alice": {"alice", "bob", "carol", "nobody"}, DEFAULT: {"alice", "bob", "carol", "nobody"}}),
    ],
)
async def test_what_is_shared_on_purpose_is(
    place: Place, texts: bool | frozenset[str], seen: dict[str, set[str]], embedder: HashEmbedder
):
    """The same task of several tenants is one text: each is shown its own auction of it, or the latest one shared."""
    async with await AuctionMemory.open(place, embedder=embedder, sharing=Sharing(texts=texts)) as memory:
        await fill(memory)
        for tenant, names in seen.items():
            found = await recalled(memory, tenant)
            assert len(found) == 1, "of one text the most recent auction counts"
            assert found <= names
        later = {"alice": "alice", "bob": "bob"} | ({"carol": "carol"} if texts is True else {})
        for number, tenant in enumerate(later):
            await remember(memory, f"later {tenant}", f"{NOW.text} {number}", tenant=tenant)
        shown = {pair.auction_id for pair in await memory.recall(NOW, "b", 9, tenant="alice")}
        assert shown & {f"later {name}" for name in later} == {
            f"later {name}" for name in later if texts is True or name in (texts or {"alice"})
        }


async def test_numbers_can_be_kept_apart_and_what_ships_is_everybodys(place: Place, embedder: HashEmbedder):
    known = PriorWork(
        embedder=embedder.name,
        digests=["0" * 64],
        vectors=await embedder.embed([NOW.text]),
        work=[[TrackedWork(agent="a", verdict="failure", dollars=0.5)]],
    )
    sharing = Sharing(statistics=False)
    async with await AuctionMemory.open(place, embedder=embedder, prior=known, sharing=sharing) as memory:
        await fill(memory)
        (own,) = (await memory.track_records(NOW, ("a",), tenant="alice")).values()
        assert (own.successes, own.failures) == (pytest.approx(1.0), pytest.approx(1.0))
        (strange,) = (await memory.track_records(NOW, ("a",), tenant="a stranger")).values()
        assert (strange.successes, strange.failures) == (0.0, pytest.approx(1.0))


async def test_another_process_sees_whose_it_is(place: Place, embedder: HashEmbedder):
    async with (
        await AuctionMemory.open(place, embedder=embedder) as here,
        await AuctionMemory.open(place, embedder=embedder) as there,
    ):
        assert await recalled(there, "alice") == set()
        await fill(here)
        assert await recalled(there, "alice") == {"alice"}
        await here.forget("alice")
        assert await recalled(there, "alice") == set()
        assert await recalled(there, "bob") == {"bob"}


async def test_lists_searches_judgements_and_forgetting_by_tenant(memory: AuctionMemory):
    await fill(memory)
    assert [one.id for one in await memory.list(tenant="bob")] == ["bob"]
    assert {one.tenant for one in await memory.list()} == {"alice", "bob", "carol", DEFAULT}
    assert [one.summary.id for one in await memory.search(NOW.text, tenant="carol")] == ["carol"]
    assert await memory.tenants() == ("alice", "bob", "carol", DEFAULT)
    for wrong in ("alice", "ali"):
        with pytest.raises(InputError, match="there is no auction"):
            await memory.feedback(wrong, "failure", tenant="bob")
    await memory.feedback("bob", "failure", tenant="bob")
    assert {one.id: one.verdict for one in await memory.list()} == {
        "alice": "success",
        "bob": "failure",
        "carol": "success",
        "nobody": "success",
    }
    assert (await memory.forget(tenant="carol")).auctions == 1
    assert {one.id for one in await memory.list()} == {"alice", "bob", "nobody"}


async def test_export_and_import_keep_whose_it_is(memory: AuctionMemory, tmp_path: Path, embedder: HashEmbedder):
    await fill(memory)
    await memory.export(tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["record"]["id"]: line["record"]["tenant"] for line in lines}["alice"] == "alice"
    del lines[-1]["record"]["tenant"]  # as versions before this one wrote them
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    async with await AuctionMemory.open(tmp_path / "other.sqlite3", embedder=embedder) as other:
        await other.import_(tmp_path / "old.jsonl")
        assert await recalled(other, "alice") == {"alice"}
        assert await recalled(other) == {"nobody"}
    lines[0]["record"] |= {"id": "new", "tenant": " alice"}
    lines[0]["record"]["auction"]["id"] = "new"
    (tmp_path / "bad.jsonl").write_text(json.dumps(lines[0]), encoding="utf-8")
    with pytest.raises(InputError, match=r"record\.tenant"):
        await memory.import_(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("name", ["", " a", "a\n", "a" * (MAX_NAME_CHARACTERS + 1), "\0"])
async def test_what_cannot_be_a_tenant_is_refused(memory: AuctionMemory, name: str):
    with pytest.raises(InputError, match="name of a tenant"):
        await memory.begin("x", NOW, tenant=name)
    assert await memory.list() == ()


# ------------------------------------------------------------------------------------------------ the index alone

TENANTS = ("alice", "bob", "carol")
VERDICTS = st.sampled_from(["success", "failure", "unknown", None])
DIRECTIONS = 5


def indexed(entries: Sequence[IndexedAuction], vectors: Vector) -> RecallIndex:
    index = RecallIndex(vectors.shape[1])
    index.put_tasks([(number, f"text {number}") for number in range(1, len(vectors) + 1)], vectors)
    for entry in entries:
        index.put(entry)
    return index


@st.composite
def many_entries(draw: st.DrawFn) -> list[IndexedAuction]:
    def entry(number: int) -> IndexedAuction:
        return IndexedAuction(
            auction=number,
            task=draw(st.integers(1, DIRECTIONS)),
            started=float(draw(st.integers(0, 3))),
            awarded=draw(st.booleans()),
            verdict=draw(VERDICTS),
            bidders=draw(st.sampled_from([("a", "b"), ("a",), ("b", "c", "a")])),
            work=[TrackedWork(agent=draw(st.sampled_from("ab")), verdict=draw(VERDICTS), dollars=1.0)],
            tenant=draw(st.sampled_from(TENANTS)),
        )

    return [entry(number) for number in range(1, draw(st.integers(0, 40)) + 1)]


@settings(deadline=None)
@given(entries=many_entries(), k=st.integers(1, 6), seed=st.integers(0, 99), success=st.booleans())
def test_a_tenant_finds_what_it_would_find_in_a_memory_of_its_own(
    entries: list[IndexedAuction], k: int, seed: int, success: bool
) -> None:
    """Neither more nor less, in the same order: the others' auctions take no place, and push nothing out."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(DIRECTIONS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shared, vector = indexed(entries, vectors), vectors[seed % DIRECTIONS]
    for tenants in ({"alice"}, {"bob", "carol"}, {"nobody"}):
        alone = indexed([one for one in entries if one.tenant in tenants], vectors)
        assert shared.examples(vector, "a", k, require_success=success, tenants=tenants) == alone.examples(
            vector, "a", k, require_success=success
        )
        assert shared.similar(vector, k, tenants=tenants) == alone.similar(vector, k)
        assert shared.tracks(vector, ("a", "b"), tenants=tenants) == alone.tracks(vector, ("a", "b"))


async def test_withheld_texts_are_recalled_by_nobody_and_counted_all_the_same(memory: AuctionMemory, tmp_path: Path):
    await remember(memory, "open", NOW.text, plans("open"))
    await remember(memory, "withheld", NOW.text, plans("withheld"), withheld=True)
    assert await recalled(memory) == {"open"}
    (record,) = (await memory.track_records(NOW, ("a",))).values()
    assert record.successes == pytest.approx(2.0)
    assert [(await memory.load(name)).withheld for name in ("open", "withheld")] == [False, True]
    await memory.export(tmp_path / "all.jsonl")
    async with await AuctionMemory.open(tmp_path / "other.sqlite3", embedder=HashEmbedder()) as other:
        await other.import_(tmp_path / "all.jsonl")
        assert await recalled(other) == {"open"}
        assert (await other.load("withheld")).withheld
