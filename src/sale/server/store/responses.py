"""Database store of responses, to be shown again, and for later requests that go on by `previous_response_id`.

A response's document holds what it adds to the one it goes on from. All responses of one conversation are forgotten
together once all of them have more bytes than are kept: of the key that has most of these, the conversation that has
rested longest. So no key makes another one lose more than it has itself.
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, func, select

from sale.errors import InputError
from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import responses
from sale.storage.writing import add

Json = dict[str, Any]

KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of all responses, compressed."""
WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of those that wait to be written. Who makes them more waits, too."""
OPENED_BYTES: Final = 128 * 1024 * 1024
"""Of one conversation that is gone on with, no longer compressed: a short request is to read no more."""
OPENED_ROWS: Final = 8
"""Responses that are read at one time."""
LATEST_SECONDS: Final = 60.0
WRITE_SECONDS: Final = 0.02
"""Soon, so that the next turn may come to another process."""
HELD: Final = select(responses.c.key_id, func.sum(responses.c.bytes)).group_by(responses.c.key_id)
"""The bytes of each key: an index has them, so that no document is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResponse:
    """A response as it is stored."""

    key_id: str
    id: str
    previous: str | None
    """The response it goes on from."""
    root: str
    """The first response of the conversation."""
    document: bytes
    """JSON, compressed."""
    seen: datetime


class ResponseHistory:
    """The responses of all conversations."""

    def __init__(self, database: StoreDatabase, *, kept_bytes: int = KEPT_BYTES) -> None:
        """To be made inside a running event loop.

        Args:
            database: Where they are.
            kept_bytes: How much is kept of all.
        """
        self._database = database
        self._kept_bytes = kept_bytes
        self._waiting: dict[tuple[str, str], StoredResponse] = {}
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._pulse = PeriodicTask(LATEST_SECONDS, self._write, "writing responses")

    async def keep(
        self, response_id: str, key_id: str | None, previous: str | None, document: Mapping[str, object]
    ) -> None:
        """Keep a response; it is on disk a few hundredths of a second after.

        Args:
            response_id: Its id.
            key_id: Whose it is.
            previous: The response it goes on from.
            document: Its own, with what it adds to that.
        """
        root = await self._root(previous, key_id) if previous is not None else None
        response = StoredResponse(
            key_id=key_id or "",
            id=response_id,
            previous=previous,
            root=root or response_id,
            document=zlib.compress(orjson.dumps(document), 1),
            seen=datetime.now(UTC),
        )
        self._waiting[response.key_id, response.id] = response
        self._bytes += len(response.document)
        if self._bytes > WAITING_BYTES:
            await self._write()
        else:
            self._pulse.wake_within(WRITE_SECONDS)

    async def find(self, response_id: str, key_id: str | None) -> Json | None:
        """The document of a response; `None` where the key has none of that id.

        Raises:
            StoreError: The database cannot be read.
        """
        owner = key_id or ""
        waiting = self._waiting.get((owner, response_id))
        if waiting is not None:
            return _opened(waiting.document)
        asked = select(responses.c.document).where(responses.c.key_id == owner, responses.c.id == response_id)
        found = await self._database.read(lambda connection: connection.execute(asked).scalar())
        return None if found is None else _opened(found)

    async def chain(self, response_id: str, key_id: str | None) -> list[Json] | None:
        """The documents of the conversation up to a response, without the responses as they were shown.

        `None` where the key has none of that id, or where one of them has been deleted.

        Raises:
            InputError: They have too many bytes together.
            StoreError: The database cannot be read.
        """
        owner = key_id or ""
        # As they are before the database is read: what is written meanwhile is in one of the two.
        waiting: list[bytes] = []
        at: str | None = response_id
        while at is not None and (one := self._waiting.get((owner, at))) is not None:
            waiting.append(one.document)
            at = one.previous
        return await self._database.read(lambda connection: _read_chain(connection, owner, waiting, at))

    async def delete(self, response_id: str, key_id: str | None) -> bool:
        """Delete a response; True where the key had one of that id. What goes on from it can no longer be gone on with.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._write()
        table = responses.c
        asked = delete(responses).where(table.key_id == (key_id or ""), table.id == response_id)
        return await self._database.write(lambda connection: connection.execute(asked).rowcount > 0)

    async def close(self) -> None:
        """Write what waits.

        Raises:
            StoreError: The database cannot be written.
        """
        await self._pulse.close()
        await self._write()

    async def forget_key(self, key_id: str) -> None:
        """Let go of what a deleted key has waiting."""
        self._waiting = {place: one for place, one in self._waiting.items() if place[0] != key_id}
        async with self._writing:  # a write under way may have some of them
            pass

    async def _root(self, response_id: str, key_id: str | None) -> str | None:
        """The first response of a response's conversation; `None` where it is not known."""
        owner = key_id or ""
        if (waiting := self._waiting.get((owner, response_id))) is not None:
            return waiting.root
        asked = select(responses.c.root).where(responses.c.key_id == owner, responses.c.id == response_id)
        return await self._database.read(lambda connection: connection.execute(asked).scalar())

    async def _write(self) -> None:
        """Write what waits, to the end even if the caller leaves: what is written again may have been deleted since."""
        await self._database.finish(self._write_waiting())

    async def _write_waiting(self) -> None:
        async with self._writing:
            batch = list(self._waiting.values())
            if not batch:
                return
            await self._database.write(lambda connection: _put(connection, batch, self._kept_bytes))
            for one in batch:
                self._waiting.pop((one.key_id, one.id), None)
            self._bytes = sum(len(one.document) for one in self._waiting.values())


def _opened(document: bytes) -> Json:
    return orjson.loads(zlib.decompress(document))


def _opened_within(document: bytes, left: int) -> tuple[Json, int]:
    """A document without the response as it was shown, and how many more bytes may be opened."""
    text = zlib.decompressobj().decompress(document, left + 1)
    if len(text) > left:
        raise InputError(
            f"the conversation of this response has more than {OPENED_BYTES:,} bytes", hint="Begin a new one."
        )
    value: Json = orjson.loads(text)
    value.pop("response", None)
    return value, left - len(text)


def _read_chain(connection: Connection, owner: str, waiting: Sequence[bytes], at: str | None) -> list[Json] | None:
    """The documents up to a response, the first one first.

    Args:
        connection: To the database.
        owner: The key.
        waiting: Documents that are not written yet, the latest one first.
        at: The response from which on they are in the database.
    """
    found: list[Json] = []
    left = OPENED_BYTES
    for document in waiting:
        value, left = _opened_within(document, left)
        found.append(value)
    stored: dict[str, tuple[str | None, Json]] = {}
    if at is not None:  # others of the conversation, which go on from the same ones, are not looked at
        table = responses.c
        chain = select(table.id, table.previous).where(table.key_id == owner, table.id == at).cte(recursive=True)
        chain = chain.union(select(table.id, table.previous).where(table.key_id == owner, table.id == chain.c.previous))
        asked = select(table.id, table.previous, table.document).join(chain, table.id == chain.c.id)
        asked = asked.where(table.key_id == owner).execution_options(yield_per=OPENED_ROWS)
        with connection.execute(asked) as rows:
            for row in rows:
                value, left = _opened_within(row.document, left)
                stored[row.id] = row.previous, value
    while at is not None:
        if at not in stored:
            return None
        at, value = stored.pop(at)
        found.append(value)
    return found[::-1]


def _put(connection: Connection, batch: Sequence[StoredResponse], kept_bytes: int) -> None:
    """Insert responses, and forget conversations of the keys that have most while all are too large."""
    fields = StoredResponse.__dataclass_fields__
    add(
        connection,
        responses,
        [{name: getattr(one, name) for name in fields} | {"bytes": len(one.document)} for one in batch],
    )
    held = [(-int(size), owner) for owner, size in connection.execute(HELD).all()]
    total = -sum(size for size, _ in held)
    if total <= kept_bytes:
        return
    heapq.heapify(held)
    table = responses.c
    oldest: dict[str, Iterator[tuple[str, int]]] = {}
    while total > kept_bytes:
        size, owner = held[0]
        if owner not in oldest:
            oldest[owner] = iter(_list_conversations(connection, owner))
        root, freed = next(oldest[owner])
        connection.execute(delete(responses).where(table.key_id == owner, table.root == root))
        heapq.heapreplace(held, (size + freed, owner))
        total -= freed


def _list_conversations(connection: Connection, owner: str) -> list[tuple[str, int]]:
    """The conversations of a key and their bytes, the one first that has rested longest."""
    table = responses.c
    asked = select(table.root, func.sum(table.bytes)).where(table.key_id == owner).group_by(table.root)
    rows = connection.execute(asked.order_by(func.max(table.seen), table.root)).all()
    return [(root, int(size)) for root, size in rows]
