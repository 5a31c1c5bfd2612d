"""Sessions: found by id and tail, in this process at once and in others soon."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from sale.server.store import sessions
from sale.server.store.store import ServerStore
from sale.server.store.types import Session

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST = Session(
    id="one",
    market="sale",
    tail="t1",
    agent="small",
    auction_id="a",
    plan="1. Look.\x00",
    turns=1,
    dollars=0.5,
    prompt_tokens=100,
    began=NOON,
    seen=NOON,
    key_id="k",
)


async def test_a_session_is_found_at_once_by_id_and_by_the_digests_of_its_last_turn(store: ServerStore):
    known = replace(FIRST, talk="a1", link="l1", hint="h1")
    store.put_session(known)
    assert await store.session("one", "k") == known
    for digest in ("t1", "a1", "l1", "h1"):
        assert await store.sessions_by_digest(["t0", digest], "k") == (known,)
        assert await store.sessions_by_digest([digest], "another key") == ()
    assert await store.sessions_by_digest([], "k") == ()
    later = replace(FIRST, tail="t2", turns=2, seen=NOON + timedelta(minutes=1))
    store.put_session(later)
    assert await store.sessions_by_digest(["t1", "t2"], "k") == (later,)
    assert await store.sessions_by_digest(["t1", "a1", ""], "k") == ()
    assert await store.session("two", "k") is None


async def test_one_that_waits_to_be_written_is_found_by_its_auction_for_its_own_key_alone(
    store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "WRITE_SECONDS", 60.0)
    store.put_session(FIRST)
    assert await store.session_of_auction("a", "k") == FIRST
    assert await store.session_of_auction("a", "l") is None
    assert await store.session_of_auction("a", None) is None


async def test_all_with_the_same_digest_are_found_the_latest_first(opened):
    one, two = await opened(), await opened()
    one.put_session(FIRST)
    newer = replace(FIRST, id="two", seen=NOON + timedelta(minutes=1), agent="large")
    one.put_session(newer)
    await one.recent_sessions(1)
    assert await two.sessions_by_digest(["t1"], "k") == (newer, FIRST)
    later = replace(FIRST, talk="t1", seen=NOON + timedelta(minutes=2))
    two.put_session(later)
    assert await two.sessions_by_digest(["t1"], "k") == (later, newer), "one that waits to be written counts"


async def test_another_process_goes_on_where_one_has_stopped(opened):
    one, two = await opened(), await opened()
    one.put_session(FIRST)
    for _ in range(100):
        if await two.sessions_by_digest(["t1"], "k"):
            break
        await asyncio.sleep(0.02)
    (found,) = await two.sessions_by_digest(["t1"], "k")
    assert found == FIRST
    two.put_session(replace(found, tail="t2", turns=2, dollars=0.75, seen=NOON + timedelta(minutes=1)))
    assert [session.turns for session in await two.recent_sessions(5)] == [2]
    assert await one.sessions_by_digest(["t2"], "k") == (await two.session("one", "k"),)


async def test_turns_of_two_processes_add_up(opened):
    one, two = await opened(), await opened()
    one.put_session(FIRST)
    await one.recent_sessions(1)
    assert await two.session("one", "k") == FIRST
    one.put_session(replace(FIRST, turns=3, dollars=0.75))
    two.put_session(replace(FIRST, turns=2, dollars=1.5))
    await one.recent_sessions(1)
    (both,) = await two.recent_sessions(1)
    assert (both.turns, both.dollars) == (4, 1.75)


async def test_what_is_at_hand_is_believed_for_a_while_only(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "FRESH_SECONDS", 0.2)
    one, two = await opened(), await opened()
    one.put_session(FIRST)
    await one.recent_sessions(1)
    await two.session("one", "k")
    two.put_session(replace(FIRST, agent="large"))
    await two.recent_sessions(1)
    await asyncio.sleep(0.25)
    assert (await one.session("one", "k")).agent == "large"


async def test_only_so_many_are_kept_at_hand(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "KEPT", 10)
    store = await opened()
    for number in range(50):
        store.put_session(replace(FIRST, id=f"s{number}", tail=f"t{number}", seen=NOON + timedelta(number)))
    assert [one.id for one in await store.recent_sessions(3)] == ["s49", "s48", "s47"]
    assert len(store._sessions._entries) == 10
    assert (await store.session("s3", "k")).tail == "t3"
    assert [one.id for one in await store.sessions_by_digest(["t4"], "k")] == ["s4"]


async def test_all_are_on_disk_when_the_store_is_closed(opened, place):
    store = await ServerStore.open(place)
    for number in range(30):
        store.put_session(replace(FIRST, id=f"s{number}"))
        store.put_session(replace(FIRST, id=f"s{number}", turns=2))
    await store.aclose()
    again = await opened()
    assert [one.turns for one in await again.recent_sessions(100)] == [2] * 30


async def test_each_key_names_its_own(opened):
    """The same name, here and in the database, of two keys and of nobody."""
    here, there = await opened(), await opened()
    theirs = [replace(FIRST, key_id=key, tail=f"t {key}", plan=f"the plan of {key}") for key in ("k", "l", None)]
    for one in theirs:
        here.put_session(one)
    assert [await here.session("one", one.key_id) for one in theirs] == theirs
    assert len(await here.recent_sessions()) == 3
    assert [await there.session("one", one.key_id) for one in theirs] == theirs
    assert await there.session("one", "m") is None
    there.put_session(replace(theirs[0], turns=5))
    await there.recent_sessions()
    assert sorted(one.turns for one in await here.recent_sessions()) == [1, 1, 5]


async def test_what_is_written_for_one_who_leaves_is_counted_once(
    store: ServerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "WRITE_SECONDS", 60.0)
    store.put_session(FIRST)
    await store.recent_sessions(1)
    begun, write = threading.Event(), sessions.write

    def write_slowly(connection: Connection, entries: Sequence[sessions.CachedSession]) -> None:
        begun.set()
        time.sleep(0.2)
        write(connection, entries)

    monkeypatch.setattr(sessions, "write", write_slowly)
    assert await store.beginnings.begin("a", None)
    store.put_session(replace(FIRST, turns=2, dollars=0.75))
    ending = asyncio.ensure_future(store.beginnings.end("a", None))
    await asyncio.to_thread(begun.wait)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    store.put_session(replace(FIRST, turns=2, dollars=0.75, seen=NOON + timedelta(minutes=1)))
    (found,) = await store.recent_sessions(1)
    assert (found.turns, found.dollars) == (2, 0.75)
