"""Responses that later requests go on with: found at once and in other processes, bounded in bytes, each key's own."""

from __future__ import annotations

import asyncio
import random
import string
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from sale.errors import InputError
from sale.server.store import responses as history
from sale.server.store.responses import HELD, ResponseHistory
from sale.server.store.store import ServerStore
from tests.server.store.conftest import Opener

HI = {"input": "Hi. 😀"}
HO = {"input": None, "said": [{"id": "c"}]}
ON = {"input": "Go on."}


async def test_a_response_is_found_with_all_it_goes_on_from(store: ServerStore):
    await store.responses.keep("r1", "k", None, HI)
    await store.responses.keep("r2", "k", "r1", HO)
    await store.responses.keep("r3", "k", "r1", ON)
    assert await store.responses.chain("r1", "k") == [HI]
    assert await store.responses.chain("r2", "k") == [HI, HO]
    assert await store.responses.chain("r3", "k") == [HI, ON]
    assert await store.responses.chain("r4", "k") is None


async def test_no_others_of_its_conversation_are_read(store: ServerStore):
    """A hundred go on from the first one; each is gone on with at the cost of two."""
    words = {"input": "x" * 1_000}
    with _opened_at_most(2_100):
        await store.responses.keep("r", "k", None, words)
        for number in range(100):
            await store.responses.keep(f"r{number}", "k", "r", words)
            if number == 50:
                await store.responses._write()
        for number in (0, 50, 51, 99):
            assert await store.responses.chain(f"r{number}", "k") == [words, words]
        await store.responses.keep("s", "k", "r7", words)
        for _ in ("waiting", "written"):
            with pytest.raises(InputError, match="2,100 bytes"):
                await store.responses.chain("s", "k")
            await store.responses._write()


async def test_a_long_chain_is_walked(store: ServerStore):
    """Some of it is written, and some is not yet; what was shown is not read again."""
    for number in range(300):
        before = f"r{number - 1}" if number else None
        await store.responses.keep(f"r{number}", "k", before, {"input": number, "response": {"id": f"r{number}"}})
        if number == 200:
            await store.responses._write()
    assert await store.responses.chain("r299", "k") == [{"input": number} for number in range(300)]
    assert await store.responses.find("r7", "k") == {"input": 7, "response": {"id": "r7"}}
    assert await store.responses.chain("r150", "k") == [{"input": number} for number in range(151)]
    assert await store.responses.delete("r3", "k")
    assert await store.responses.chain("r150", "k") is None


@contextmanager
def _opened_at_most(count: int) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "OPENED_BYTES", count)
        yield


async def test_a_response_is_shown_and_deleted_by_its_key_alone(opened):
    one, two = await opened(), await opened()
    await one.responses.keep("r1", "k", None, HI)
    await one.responses.keep("r2", "k", "r1", ON)
    await one.responses.keep("r1", "l", None, HO)
    assert await one.responses.find("r1", "k") == HI, "found before it is written"
    assert await one.responses.find("r1", None) is None
    assert not await two.responses.delete("r1", "m")
    assert await one.responses.delete("r1", "k")
    assert not await one.responses.delete("r1", "k")
    assert await two.responses.find("r1", "k") is None
    assert await two.responses.find("r1", "l") == HO
    assert await two.responses.find("r2", "k") == ON, "found once it is written"
    assert await two.responses.chain("r2", "k") is None, "what it went on from is gone"


async def test_another_process_goes_on(opened):
    one, two = await opened(), await opened()
    await one.responses.keep("r1", None, None, HI)
    found = None
    for _ in range(200):
        if (found := await two.responses.chain("r1", None)) is not None:
            break
        await asyncio.sleep(0.02)
    assert found == [HI]
    await two.responses.keep("r2", None, "r1", HO)
    await two.aclose()
    assert await one.responses.chain("r2", None) == [HI, HO]


async def test_sizes_are_added_up_without_a_look_at_the_documents(tmp_path: Path) -> None:
    store = await ServerStore.open(str(tmp_path / "server.sqlite3"))
    plan = await store.database.read(lambda connection: _explain(connection, str(HELD)))
    await store.aclose()
    assert "USING COVERING INDEX ix_server_responses_held" in plan


def _explain(connection: Connection, statement: str) -> str:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
    return "\n".join(str(row[-1]) for row in rows)


async def test_responses_are_there_after_a_restart(opened):
    one = await opened()
    await one.responses.keep("r1", None, None, HI)
    await one.aclose()
    assert await (await opened()).responses.chain("r1", None) == [HI]


async def test_a_key_finds_its_own_alone_and_takes_them_along(store: ServerStore):
    secret, key = await store.create_key("mine")
    assert secret
    await store.responses.keep("r1", key.id, None, HI)
    await store.responses.keep("r1", "other", None, ON)
    assert await store.responses.chain("r1", key.id) == [HI]
    assert await store.responses.chain("r1", None) is None
    await store.delete_key("mine")
    assert await store.responses.chain("r1", key.id) is None
    assert await store.responses.chain("r1", "other") == [ON]


async def test_those_that_were_written_go_with_their_key(opened: Opener) -> None:
    here, there = await opened(), await opened()
    _, key = await here.create_key("mine")
    await here.responses.keep("r1", key.id, None, HI)
    await here.responses.keep("r1", "other", None, ON)
    await here.responses._write()  # pyright: ignore[reportPrivateUsage]
    assert await there.responses.find("r1", key.id) == HI
    await here.delete_key("mine")
    assert await there.responses.find("r1", key.id) is None
    assert await there.responses.find("r1", "other") == ON


async def test_the_conversation_that_has_rested_longest_goes_whole(store: ServerStore):
    chance = random.Random(7)

    def words() -> dict[str, object]:
        return {"input": "".join(chance.choices(string.printable, k=3000))}

    history = ResponseHistory(store._database, kept_bytes=12_000)  # pyright: ignore[reportPrivateUsage]
    try:
        for name in "abc":
            await history.keep(name, None, None, words())
            await history._write()  # pyright: ignore[reportPrivateUsage]
        await history.keep("a2", None, "a", words())  # now b has rested longest
        await history._write()  # pyright: ignore[reportPrivateUsage]
        await history.keep("d", None, None, words())
        await history._write()  # pyright: ignore[reportPrivateUsage]
        found = {name: await history.chain(name, None) is not None for name in ("a", "a2", "b", "c", "d")}
    finally:
        await history.close()
    assert found == {"a": True, "a2": True, "b": False, "c": True, "d": True}


async def test_a_key_that_has_most_makes_no_other_one_lose_any(store: ServerStore):
    chance = random.Random(7)
    history = ResponseHistory(store._database, kept_bytes=12_000)
    try:
        await history.keep("old", "small", None, {"input": "Hi."})
        await history._write()
        for number in range(9):
            words = "".join(chance.choices(string.printable, k=3000))
            await history.keep(f"r{number}", "large" if number < 8 else "middle", None, {"input": words})
            await history._write()
        kept = {number for number in range(8) if await history.find(f"r{number}", "large")}
        assert await history.find("old", "small") is not None
        assert await history.find("r8", "middle") is not None
    finally:
        await history.close()
    assert kept
    assert kept == set(range(min(kept), 8)), "of its own the oldest ones went"
