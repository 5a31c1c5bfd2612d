"""Ids of answers: found at once and by others, each key's own, bounded, and there in a store of the release before."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, select, update

from sale.server.store import answers as ids
from sale.server.store.answers import AnswerIds
from sale.server.store.schema import SCHEMA, answers
from sale.server.store.store import ServerStore
from sale.server.store.types import Session
from tests.server.store.conftest import Opener

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TALK = Session(
    id="s",
    market="sale",
    tail="t",
    agent="small",
    auction_id="a1",
    plan="",
    turns=1,
    dollars=0.5,
    prompt_tokens=100,
    began=NOON,
    seen=NOON,
    key_id=None,
)


async def flush(store: ServerStore) -> None:
    await store.recent_sessions(1)


async def test_an_answer_is_found_at_once_and_by_others(opened):
    one, two = await opened(), await opened()
    one.put_session(TALK)
    one.answers.put("chatcmpl-1", None, "a1")
    assert await one.answers.find("chatcmpl-1", None) == "a1", "before it is written"
    found = None
    for _ in range(500):
        if (found := await two.answers.find("chatcmpl-1", None)) is not None:
            break
        await asyncio.sleep(0.02)
    assert found == "a1"
    held = await two.session_of_auction("a1", None)
    assert held is not None, "its session is there as soon as it is"
    assert held.id == "s"
    assert await two.session_of_auction("a2", None) is None
    assert await two.session_of_auction("a1", "k") is None


async def test_it_is_its_keys_alone_and_any_text(opened):
    one, two = await opened(), await opened()
    texts = ["", "x", "x" * 100_000, "\0 ✓ \ud800", "x' OR 1 = 1 --"]
    for text in texts:
        one.answers.put(text, "k", f"of {text[:9]}")
    await flush(one)
    for text in texts:
        assert await two.answers.find(text, "k") == f"of {text[:9]}"
        assert await two.answers.find(text, "l") is None
        assert await two.answers.find(text, None) is None
        assert await two.answers.find(f"{text}y", "k") is None


async def test_of_two_with_one_id_the_later_counts(opened):
    """Endpoints count on from one after a restart, some of them."""
    one, two = await opened(), await opened()
    one.answers.put("cmpl-1", "k", "a1")
    await flush(one)
    two.answers.put("cmpl-1", "k", "a2")
    await flush(two)
    assert await one.answers.find("cmpl-1", "k") == "a2"


async def test_the_later_of_two_is_not_forgotten_with_the_one_that_was_just_written(opened: Opener) -> None:
    one, two = await opened(), await opened()
    one.answers.put("cmpl-1", "k", "a1")
    under_way = one.answers.waiting()
    one.answers.put("cmpl-1", "k", "a2")
    one.answers.forget_written(under_way)
    assert await one.answers.find("cmpl-1", "k") == "a2"
    await flush(one)
    assert await two.answers.find("cmpl-1", "k") == "a2"


async def test_so_many_are_kept_for_so_long(opened: Opener):
    store = await opened()
    for number in range(30):
        store.answers.put(f"c{number}", "k", f"a{number}")
        await flush(store)
    past = datetime.now(UTC) - timedelta(days=31)
    old = ids._place("c29", "k")[1]

    def age(connection: Connection) -> None:
        connection.execute(update(answers).where(answers.c.digest == old).values(seen=past))

    await store.database.write(age)
    few = AnswerIds(store.database, kept=10)
    await few.forget_old()
    await few.close()
    kept = [number for number in range(30) if await store.answers.find(f"c{number}", "k")]
    assert kept == list(range(19, 29)), "the old one went, and the ten latest of the others stay"


async def test_those_that_wait_are_bounded(opened, monkeypatch):
    store = await opened()
    monkeypatch.setattr(ids, "WAITING", 5)
    for number in range(9):
        store.answers.put(f"c{number}", "k", f"a{number}")
    assert len(store.answers.waiting()) == 5
    assert await store.answers.find("c8", "k") == "a8"


async def test_they_go_with_their_key(opened: Opener):
    store = await opened()
    _, key = await store.create_key("mine")
    store.answers.put("c1", key.id, "a1")
    await flush(store)
    store.answers.put("c2", key.id, "a2")
    await store.delete_key(key.id)
    await flush(store)

    def count(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(answers)).scalar_one()

    assert await store.database.read(count) == 0


async def test_they_are_there_after_a_restart(opened):
    one = await opened()
    one.answers.put("c1", "k", "a1")
    await one.aclose()
    assert await (await opened()).answers.find("c1", "k") == "a1"


async def test_a_store_of_the_release_before_gets_the_table(opened):
    before = await opened()

    def take_back(connection: Connection) -> None:
        connection.exec_driver_sql("DROP TABLE server_answers")
        connection.exec_driver_sql("DROP INDEX ix_server_sessions_auction_id")
        connection.exec_driver_sql("DROP INDEX ix_server_responses_held")
        connection.exec_driver_sql("CREATE INDEX ix_server_responses_root ON server_responses (key_id, root)")
        connection.exec_driver_sql("CREATE INDEX ix_server_responses_seen ON server_responses (seen)")
        connection.exec_driver_sql("UPDATE server_version SET version_num = '0007'")

    await before.aclose()
    again = await opened()
    await again.database.write(take_back)
    await again.aclose()
    after = await opened()
    after.answers.put("c1", "k", "a1")
    await flush(after)
    assert await after.answers.find("c1", "k") == "a1"

    def compare(connection: Connection) -> list[object]:
        def ours(name: str | None, kind: str, _: object) -> bool:
            return kind != "table" or bool(name and name.startswith("server_"))

        options = {"version_table": SCHEMA.version_table.name, "include_name": ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), SCHEMA.metadata))

    assert await after.database.read(compare) == []
