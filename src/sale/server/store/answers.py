"""The ids of answers, by which feedback names the auction an answer came of, whichever process made it.

They are written with the sessions, in the same transaction: whoever finds an answer finds its session, too. An id is
kept as a digest, since it is the endpoint's own and may be of any length. Ids of so many answers are kept for so many
days; the oldest are forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from sale.server.periodic_task import PeriodicTask
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import answers
from sale.storage.writing import Upsert

KEPT: Final = 500_000
"""Answers of all keys."""
KEPT_DAYS: Final = 30.0
WAITING: Final = 50_000
"""Answers that wait to be written; while the database cannot be, the oldest of more are forgotten."""
FORGET_SECONDS: Final = 600.0
PUT_ANSWERS: Final = Upsert(answers)

Place = tuple[str, str]
"""An answer's key, empty for none, and the digest of its id."""


@dataclass(frozen=True, slots=True)
class NamedAnswer:
    """An answer whose id feedback may name."""

    auction_id: str
    seen: datetime


class AnswerIds:
    """The ids of answers: those waiting to be written, and those in the database."""

    def __init__(self, database: StoreDatabase, *, kept: int = KEPT, kept_days: float = KEPT_DAYS) -> None:
        """To be made inside a running event loop.

        Args:
            database: Where they are.
            kept: How many are kept of all keys.
            kept_days: How long one is kept.
        """
        self._database = database
        self._kept = kept
        self._kept_days = kept_days
        self._waiting: dict[Place, NamedAnswer] = {}
        self._pulse = PeriodicTask(FORGET_SECONDS, self.forget_old, "forgetting old answers")

    def put(self, answer_id: str, key_id: str | None, auction_id: str) -> None:
        """Keep what an answer came of; of two with one id the later counts. It is written with the next session."""
        place = _place(answer_id, key_id)
        self._waiting.pop(place, None)
        self._waiting[place] = NamedAnswer(auction_id, datetime.now(UTC))
        if len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]

    async def find(self, answer_id: str, key_id: str | None) -> str | None:
        """The id of the auction that an answer to this key came of; `None` where the key had none of that id.

        Raises:
            StoreError: The database cannot be read.
        """
        place = _place(answer_id, key_id)
        if (waiting := self._waiting.get(place)) is not None:
            return waiting.auction_id
        asked = select(answers.c.auction_id).where(answers.c.key_id == place[0], answers.c.digest == place[1])
        return await self._database.read(lambda connection: connection.execute(asked).scalar())

    def waiting(self) -> Mapping[Place, NamedAnswer]:
        """Those that wait, to be written by `write`."""
        return dict(self._waiting)

    def forget_written(self, batch: Mapping[Place, NamedAnswer]) -> None:
        """Let go of those that are in the database."""
        for place, answer in batch.items():
            if self._waiting.get(place) is answer:
                del self._waiting[place]

    def forget_key(self, key_id: str) -> None:
        """Let go of those of a key that is about to be deleted."""
        self._waiting = {place: answer for place, answer in self._waiting.items() if place[0] != key_id}

    async def forget_old(self) -> None:
        """Forget what is older, or more, than is kept.

        Raises:
            StoreError: The database cannot be written.
        """
        before = datetime.now(UTC) - timedelta(days=self._kept_days)
        await self._database.write(lambda connection: _forget(connection, before, self._kept))

    async def close(self) -> None:
        """End what is done in the background; what waits is the sessions' to write."""
        await self._pulse.close()


def write(connection: Connection, batch: Mapping[Place, NamedAnswer]) -> None:
    """Insert answers, or say what came later under the same id."""
    rows = [
        {"key_id": key_id, "digest": digest, "auction_id": answer.auction_id, "seen": answer.seen}
        for (key_id, digest), answer in sorted(batch.items())
    ]
    PUT_ANSWERS.write(connection, rows)


def _forget(connection: Connection, before: datetime, kept: int) -> None:
    seen = answers.c.seen
    first_too_many = select(seen).order_by(seen.desc()).offset(kept).limit(1)
    last = connection.execute(first_too_many).scalar()
    gone = seen < before if last is None else (seen < before) | (seen <= last)
    connection.execute(delete(answers).where(gone))


def _place(answer_id: str, key_id: str | None) -> Place:
    named = answer_id.encode(errors="surrogatepass")
    return (key_id or "", hashlib.blake2b(named, digest_size=16).hexdigest())
