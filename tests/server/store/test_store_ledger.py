"""The ledger: no line lost, none twice, none in a request's way; and what the lines come to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from sale.errors import InputError, StoreError
from sale.server.store import ledger
from sale.server.store.schema import requests
from sale.server.store.store import ServerStore
from sale.server.store.types import LedgerEntry
from tests.support.ledger import noted

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def line(number: int, **changes) -> LedgerEntry:
    usual = {"at": NOON, "key_id": None, "session_id": "s", "auction_id": None, "streamed": False}
    return noted(**{"id": f"r{number}", **usual, "first_token_seconds": None, "wait_seconds": 0.5, **changes})


async def test_lines_come_back_as_they_were_and_newest_first(store: ServerStore):
    hostile = "a\x00b\ud800 'quoted'; DROP TABLE server_requests"
    lines = [
        line(1, model=hostile, session_id=hostile, error="bad_gateway", status=502),
        line(2, at=NOON + timedelta(microseconds=1), first_token_seconds=0.25, streamed=True, agent=None),
        line(3, at=NOON + timedelta(days=1), key_id="k", cached_tokens=2**40),
    ]
    for one in lines:
        await store.note(one)
    assert list(await store.recent_requests()) == lines[::-1]
    assert list(await store.recent_requests(session_id=hostile)) == lines[:1]
    assert list(await store.recent_requests(1, key_id="k")) == lines[2:]


async def test_lines_are_on_disk_soon_and_a_note_does_not_wait(store: ServerStore):
    for number in range(2000):
        await store.note(line(number))
    assert store.queued, "a note waited until its line was written"
    while store.queued:  # noqa: ASYNC110  the ledger has no event for it
        await asyncio.sleep(0.02)
    rows = await store._database.read(lambda c: c.execute(select(requests.c.id)).all())
    assert len(rows) == 2000


async def test_closing_writes_what_is_left(opened, place: str):
    store = await ServerStore.open(place)
    for number in range(1300):
        await store.note(line(number))
    await store.aclose()
    with pytest.raises(StoreError, match="closed"):
        await store.note(line(1))
    await store.aclose()
    again = await opened()
    assert len(await again.recent_requests(5000)) == 1300


async def test_the_same_line_counts_once(store: ServerStore):
    for _ in range(3):
        await store.note(line(1))
        await store.recent_requests()
    (spent,) = await store.spend()
    assert spent.requests == 1


async def test_a_full_queue_makes_callers_wait_and_loses_nothing(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "QUEUE", 10)
    monkeypatch.setattr(ledger, "BATCH", 10)
    store = await opened()
    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(store.note(line(number)))
        await asyncio.sleep(0)
        assert store.queued == 10
    assert len(await store.recent_requests(500)) == 200


async def test_a_database_that_fails_for_a_while_costs_no_line(tmp_path: Path, caplog):
    store = await ServerStore.open(tmp_path / "s.sqlite3")
    await store._database.write(lambda c: c.exec_driver_sql("ALTER TABLE server_requests RENAME TO away"))
    await store.note(line(1))
    for _ in range(200):
        if "will be tried again" in caplog.text:
            break
        await asyncio.sleep(0.02)
    assert "writing the ledger failed" in caplog.text
    assert store.queued == 1
    await store._database.write(lambda c: c.exec_driver_sql("ALTER TABLE away RENAME TO server_requests"))
    assert await store.recent_requests() == (line(1),)
    await store._database.write(lambda c: c.exec_driver_sql("ALTER TABLE server_requests RENAME TO away"))
    await store.note(line(2))
    with pytest.raises(StoreError, match="1 request could not be put on the ledger"):
        await store.aclose()


@pytest.mark.parametrize("changes", [{"at": datetime(2026, 1, 1)}, {"work_dollars": float("nan")}])  # noqa: DTZ001
async def test_a_line_that_could_never_be_written_is_refused_at_once(tmp_path, changes):
    async with await ServerStore.open(tmp_path / "s") as store:
        with pytest.raises(InputError, match="cannot be put on the ledger"):
            await store.note(line(1, **changes))


async def test_spend_by_day_agent_and_key(store: ServerStore):
    _, key = await store.create_key("team a")
    for one in (
        line(1),
        line(2, agent="large", work_dollars=2.0, auction_dollars=0.0, largest_dollars=2.0),
        line(3, at=NOON - timedelta(days=1), key_id=key.id, status=500, error="server_error"),
        line(4, at=NOON + timedelta(hours=11, minutes=59), agent=None, work_dollars=0.0, auction_dollars=0.0),
    ):
        await store.note(one)
    days = await store.spend()
    assert [(day.label, day.requests, day.failures) for day in days] == [("2026-02-28", 1, 1), ("2026-03-01", 3, 0)]
    assert days[1].work_dollars == 2.25
    assert days[1].auction_dollars == 0.125
    assert days[1].dollars == 2.375
    assert days[1].largest_dollars == 4.0
    assert days[1].saved == 1.625
    assert (days[1].input_tokens, days[1].output_tokens, days[1].cached_tokens) == (300, 30, 150)
    assert [agent.label for agent in await store.spend(by="agent")] == ["large", "small", "(none)"]
    assert [one.label for one in await store.spend(NOON, by="agent")] == ["large", "small", "(none)"]
    assert {one.label for one in await store.spend(by="key")} == {"(none)", f"team a ({key.prefix}…)"}
    assert [one.requests for one in await store.spend(by="path")] == [4]
    of_key = f"s of team a ({key.prefix}…)"
    assert {one.label for one in await store.spend(by="session")} == {"s without a key", of_key}
    assert await store.spend(NOON + timedelta(days=5)) == ()


async def test_sessions_that_two_keys_call_alike_are_two(store: ServerStore):
    _, one = await store.create_key("team a")
    _, other = await store.create_key("team b")
    called = [(one.id, "fix"), (one.id, "fix"), (other.id, "fix"), (None, "fix"), (one.id, "own"), (other.id, None)]
    for number, (key_id, session_id) in enumerate([*called, (one.id, None)]):
        await store.note(line(number, key_id=key_id, session_id=session_id))
    assert {spent.label: spent.requests for spent in await store.spend(by="session")} == {
        f"fix of team a ({one.prefix}…)": 2,
        f"fix of team b ({other.prefix}…)": 1,
        "fix without a key": 1,
        "own": 1,
        "(none)": 2,
    }
