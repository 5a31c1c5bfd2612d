"""Recall by a server with pgvector: the same answers as in process, and nothing loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import astuple

import pytest
from sqlalchemy import Connection, text

from sale.errors import StoreError
from sale.memory import nearest_sql, recall, server_recall, vector_table
from sale.memory.index_sync import SyncedIndex
from sale.memory.server_recall import ServerRecall
from sale.memory.store import AuctionMemory
from sale.memory.tenants import Sharing
from sale.types import Pair, Task, Verdict
from tests.memory.builders import HashEmbedder, Place, bid, remember, rows
from tests.support.postgres import Server

NOW = Task(text="sort the list of names")
WORDS = ("sort", "list", "bake", "cake", "prove", "lemma", "parse", "file", "names", "numbers")
VERDICTS: tuple[Verdict | None, ...] = ("success", "failure", "unknown", None, "success")


@pytest.fixture
def kind() -> str:
    return "postgresql"


async def fill(memory: AuctionMemory, count: int) -> None:
    """Tasks that share words, some texts more than once; agents, tenants and verdicts in turn."""
    for number in range(count):
        text = " ".join(WORDS[(number * step + step) % len(WORDS)] for step in range(1, 2 + number % 4))
        agents = ("a", "b", "c") if number % 3 else ("a", "rare")
        bids = tuple(bid(agent, 1.0 + (number + place) % 3) for place, agent in enumerate(agents))
        winner = bids[number % len(bids)]
        await remember(
            memory,
            f"x{number}",
            text,
            bids,
            winner=winner,
            verdict=VERDICTS[number % len(VERDICTS)],
            tenant=f"t{number % 4}",
            withheld=number % 11 == 0,
        )


def plain(pairs: tuple[Pair, ...]) -> list[tuple[object, ...]]:
    return [
        (pair.auction_id, pair.losing, pair.winning, pair.own, pytest.approx(pair.similarity, abs=1e-6))
        for pair in pairs
    ]


def no_extension(connection: Connection, dimensions: int) -> str:
    return "the server does not have it"


@pytest.mark.parametrize(
    ("few", "some"),
    [(1, 1), (10, 1), (1, 10**6), (10, 35), (10**6, 1)],
    ids=["through the index", "both", "all of a tenant", "all three", "exactly"],
)
async def test_it_answers_as_the_index_in_process_does(
    place: Place, monkeypatch: pytest.MonkeyPatch, few: int, some: int
):
    monkeypatch.setattr(server_recall, "FEW", few)
    monkeypatch.setattr(server_recall, "SOME", some)
    embedder = HashEmbedder()
    async with await AuctionMemory.open(place, embedder=embedder, sharing=Sharing(texts=True)) as memory:
        await fill(memory, 120)
        await memory.compact(100)
        served, exact = memory._recall, SyncedIndex(memory._database, memory._encoder)
        assert isinstance(served, ServerRecall)
        agents = ("a", "b", "c", "rare", "nobody")
        for asked in (NOW.text, "bake", "parse the file", "numbers prove cake"):
            for tenants in (None, frozenset({"t1"}), frozenset({"t1", "t3"}), frozenset({"none"})):
                for strict in (False, True):
                    expected = await exact.pairs(asked, agents, 8, tenants=tenants, require_success=strict)
                    found = await served.pairs(asked, agents, 8, tenants=tenants, require_success=strict)
                    for agent in agents:
                        assert plain(found[agent]) == plain(expected[agent])
                        one = await served.pairs(asked, (agent,), 3, tenants=tenants, require_success=strict)
                        assert plain(one[agent]) == plain(expected[agent][:3])
                tracks = await served.tracks(asked, agents, tenants=tenants)
                for agent, record in (await exact.tracks(asked, agents, tenants=tenants)).items():
                    assert astuple(tracks[agent])[1:] == pytest.approx(astuple(record)[1:], abs=1e-6)

                def near(_: object, keys: object) -> object:
                    return keys

                expected_near = await exact.search(asked, 12, tenants=tenants, read=near)
                found_near = await served.search(asked, 12, tenants=tenants, read=near)
                assert [key for key, _ in found_near] == [key for key, _ in expected_near]  # pyright: ignore[reportGeneralTypeIssues]


async def test_nothing_is_loaded(place: Place):
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await fill(memory, 30)
        await memory.recall(NOW, "a", 8, tenant="t1")
        assert memory._recall.nbytes == 0
        assert (await memory.stats()).recall == "by the server (pgvector)"


async def test_a_tenant_called_as_a_measure_is_one_of_its_own(memory: AuctionMemory, monkeypatch: pytest.MonkeyPatch):
    """What is known of the tenants `some` and `x` together says nothing of how much there is of `x` alone."""
    monkeypatch.setattr(server_recall, "FEW", 1)
    await remember(memory, "one", NOW.text, tenant="some")
    await remember(memory, "two", NOW.text, tenant="x")

    def look(connection: Connection) -> tuple[bool, bool]:
        recalling = memory._recall
        assert isinstance(recalling, ServerRecall)
        return recalling._passes(connection, ("some", "x")), recalling._is_some(connection, {"x"})

    assert await memory._database.read(look) == (True, True)


async def test_a_walk_that_finds_too_few_is_followed_by_an_exact_search(
    memory: AuctionMemory, monkeypatch: pytest.MonkeyPatch
):
    """An agent with many bids, none of them near: the walk gives up, the answer is whole all the same."""
    monkeypatch.setattr(server_recall, "FEW", 1)
    settings = nearest_sql.SETTINGS + ", set_config('hnsw.max_scan_tuples', '1', true)"
    monkeypatch.setattr(nearest_sql, "SET", text(settings))
    monkeypatch.setattr(server_recall, "MIN_BREADTH", 1)
    monkeypatch.setattr(server_recall, "MAX_BREADTH", 5)
    for number in range(40):
        await remember(memory, f"near{number}", f"{NOW.text} {number}")
    for number in range(8):
        await remember(memory, f"far{number}", f"bake a cake {number}", (bid("far", 1.0), bid("b", 2.0)))
    found = await memory.recall(NOW, "far", 8)
    assert {pair.auction_id for pair in found} == {f"far{number}" for number in range(8)}


async def test_what_a_process_without_the_table_wrote_is_taken_up(
    empty: Callable[[], Place], monkeypatch: pytest.MonkeyPatch
):
    """An earlier memory, or one whose server got the extension later: vectors that are stored are not made again."""
    place = empty()
    with monkeypatch.context() as patch:
        patch.setattr(vector_table, "find_obstacle", no_extension)
        async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
            await fill(memory, 30)
            assert (await memory.stats()).recall == "exactly, in this process: the server does not have it"
    embedder = HashEmbedder()
    async with await AuctionMemory.open(place, embedder=embedder) as memory:
        exact = SyncedIndex(memory._database, memory._encoder)
        expected = await exact.pairs(NOW.text, ("a",), 8, tenants=frozenset({"t1"}), require_success=False)
        assert len(expected["a"]) > 1
        assert plain(await memory.recall(NOW, "a", 8, tenant="t1")) == plain(expected["a"])
        assert embedder.embedded == 1, "the question alone"
        assert await rows(memory, "SELECT upto > 0, indexed FROM vector_tables") == [(True, True)]


async def test_texts_that_are_forgotten_leave_the_table(memory: AuctionMemory):
    await remember(memory, "x", "sort")
    await remember(memory, "y", "sort")
    await remember(memory, "z", "bake")
    (name,) = [name for (name,) in await rows(memory, "SELECT name FROM vector_tables")]
    for gone, left in (("x", 2), ("y", 1), ("z", 0)):
        await memory.forget(gone)
        assert await rows(memory, f"SELECT count(*) FROM {name}") == [(left,)]
    assert await memory.recall(NOW, "a", 8) == ()


async def test_a_damaged_vector_is_made_again(memory: AuctionMemory):
    await remember(memory, "x", "sort")
    await remember(memory, "y", "bake")
    await memory._database.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE embeddings SET vector = '\\x00ff' WHERE task = (SELECT min(task) FROM embeddings)"
        )
    )
    assert {pair.auction_id for pair in await memory.recall(NOW, "a", 8)} == {"x", "y"}


async def test_without_the_right_to_install_it_recall_is_exact(
    server: Server, empty: Callable[[], Place], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    place = str(empty())
    server.run("DROP ROLE IF EXISTS modest", "CREATE ROLE modest LOGIN")
    server.run("GRANT ALL ON SCHEMA public TO modest", url=place)
    modest = place.replace("//postgres:@", "//modest:@")
    caplog.set_level(logging.INFO, "sale.memory")
    async with await AuctionMemory.open(modest, embedder=HashEmbedder()) as memory:
        await fill(memory, 10)
        assert "have an administrator run CREATE EXTENSION vector" in (await memory.stats()).recall
        assert len(await memory.recall(NOW, "a", 8, tenant="t1")) > 0
        assert [record.levelname for record in caplog.records if "pgvector" in record.message] == ["INFO"]
    monkeypatch.setattr(recall, "MANY_TASKS", 3)
    async with await AuctionMemory.open(modest, embedder=HashEmbedder()) as memory:
        assert [record.levelname for record in caplog.records if "pgvector" in record.message] == ["INFO", "WARNING"]
    server.run("CREATE EXTENSION vector", url=place)
    async with await AuctionMemory.open(modest, embedder=HashEmbedder()) as memory:
        assert (await memory.stats()).recall == "by the server (pgvector)"
        assert len(await memory.recall(NOW, "a", 8, tenant="t1")) > 0


async def test_the_index_is_built_by_one_process_where_several_cannot_share_it(memory: AuctionMemory):
    """As in a container that has little memory for all its processes to share."""
    await remember(memory, "x", "sort")
    await memory.recall(NOW, "a", 8)

    def build(connection: Connection) -> list[object]:
        name = vector_table.find(connection, "hash")
        assert name is not None
        connection.exec_driver_sql(f"DROP INDEX {name}_hnsw")
        for setting in ("min_parallel_table_scan_size = 0", "maintenance_work_mem = '1TB'"):
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        vector_table.build_index(connection, "hash", name)
        workers = connection.exec_driver_sql("SHOW max_parallel_maintenance_workers").scalar()
        return [workers, connection.exec_driver_sql(f"SELECT to_regclass('{name}_hnsw') IS NOT NULL").scalar()]

    assert await memory._database.write(build) == ["0", True]


async def test_what_else_goes_wrong_with_the_index_is_told(memory: AuctionMemory):
    await remember(memory, "x", "sort")

    def build(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE other (vector halfvec)")
        vector_table.build_index(connection, "hash", "other")

    with pytest.raises(StoreError, match="does not have dimensions"):
        await memory._database.write(build)


async def test_the_longest_vectors_the_index_takes(empty: Callable[[], Place]):
    async with await AuctionMemory.open(empty(), embedder=HashEmbedder("long", dimensions=4000)) as memory:
        await remember(memory, "x", "sort")
        assert (await memory.stats()).recall == "by the server (pgvector)"
        assert len(await memory.recall(NOW, "a", 8)) == 1


async def test_vectors_longer_than_the_index_takes_are_compared_in_process(empty: Callable[[], Place]):
    async with await AuctionMemory.open(empty(), embedder=HashEmbedder("long", dimensions=4001)) as memory:
        await remember(memory, "x", "sort")
        assert "4001 dimensions" in (await memory.stats()).recall
        assert len(await memory.recall(NOW, "a", 8)) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_the_table_may_be_dropped(place: Place, server: Server, known: bool):
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await fill(memory, 10)
        expected = await memory.recall(NOW, "a", 8, tenant="t1")
        settled = await memory.list(100, status="settled")
        ((name,),) = await rows(memory, "SELECT name FROM vector_tables")
    server.run(f"DROP TABLE {name}", *(() if known else ("DELETE FROM vector_tables",)), url=str(place))
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        found = await memory.recall(NOW, "a", 8, tenant="t1")
        assert plain(found) == plain(tuple(one for one in expected if one.auction_id in {one.id for one in settled}))
