"""Keeps the index current: reads records that are new in the database, and embeds texts that have no vector yet."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import numpy as np
from sqlalchemy import BigInteger, Connection, Integer, and_, bindparam, select

from sale.errors import StoreError
from sale.memory.database import MemoryDatabase
from sale.memory.index_entries import planned, read_changed, read_changed_evidence
from sale.memory.prior import PriorWork
from sale.memory.retrieval import STORED, PairCandidate, RecallIndex, Vector, contrast
from sale.memory.schema import auctions, embeddings, evidence, state, strategies, tasks
from sale.memory.writing import put_embedding
from sale.models.embedding import Embedder
from sale.types import Pair, TrackRecord

T = TypeVar("T")
CHUNK = 2000
BATCH = 64
KEPT = 128
ROUNDING = 1e-3
"""Largest deviation from 1 of the norm of a stored float32 vector."""


# Statements are made once: to build one anew takes several times as long as to run it.
_AFTER: Final = bindparam("after", type_=BigInteger)
_STATE: Final = select(state.c.revision, state.c.generation)
_NEW_TASKS: Final = (
    select(tasks.c.key, tasks.c.text_digest, embeddings.c.vector)
    .outerjoin(embeddings, and_(embeddings.c.task == tasks.c.key, embeddings.c.embedder == bindparam("embedder")))
    .where(tasks.c.key > _AFTER)
    .order_by(tasks.c.key)
    .limit(bindparam("most", type_=Integer))
)
_HEADS: Final = (
    select(auctions.c.key, auctions.c.id, tasks.c.text)
    .join(tasks, tasks.c.key == auctions.c.task)
    .where(auctions.c.key.in_(bindparam("keys", expanding=True)))
)
_PLANS: Final = (
    select(
        strategies.c.auction,
        strategies.c.agent,
        strategies.c.text,
        strategies.c.cost,
        strategies.c.value,
        strategies.c.refinement,
        strategies.c.won,
    )
    .where(strategies.c.auction.in_(bindparam("keys", expanding=True)), planned)
    .order_by(strategies.c.auction, strategies.c.position)
)


class TextEncoder:
    """Vectors of texts as they are stored, with the latest ones at hand: one task is looked up by several agents."""

    def __init__(self, embedder: Embedder) -> None:
        """Nothing is loaded yet."""
        self._embedder = embedder
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    @property
    def name(self) -> str:
        """The embedder's."""
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """The embedder's."""
        return self._embedder.dimensions

    def matrix(self, vectors: Sequence[bytes]) -> Vector:
        """Stored vectors as the rows of an array."""
        return np.frombuffer(b"".join(vectors), dtype=STORED).reshape(len(vectors), self.dimensions)

    def check_vectors(self, vectors: Sequence[bytes | None]) -> list[bool]:
        """Which of some stored vectors are there and of this embedder's length, finite and of unit norm."""
        size = self.dimensions * STORED.itemsize
        none = bytes(size)
        found = self.matrix([one if one is not None and len(one) == size else none for one in vectors])
        with np.errstate(invalid="ignore"):  # what is not a number is just not sound
            norms = np.sqrt(np.einsum("ij,ij->i", found, found, dtype=np.float64))
            return [bool(good) for good in np.abs(norms - 1.0) < ROUNDING]

    async def encode(self, text: str) -> bytes:
        """The vector of one text."""
        if text not in self._kept:
            (self._kept[text],) = await self.encode_all([text])
        self._kept.move_to_end(text)
        vector = self._kept[text]
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return vector

    async def encode_all(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors of some texts.

        Raises:
            StoreError: The embedder did not give one vector of its declared length for each.
        """
        vectors: list[bytes] = []
        for start in range(0, len(texts), BATCH):
            # Half a character, which a model may write, is more than most tokenizers can take.
            batch = [text.encode(errors="replace").decode() for text in texts[start : start + BATCH]]
            made = np.asarray(await self._embedder.embed(batch), dtype=STORED)
            if made.shape != (len(batch), self.dimensions):
                raise StoreError(
                    f"it gave an array of shape {made.shape}, not {(len(batch), self.dimensions)}",
                    where=f"embedder {self.name!r}",
                    hint="`embed` gives one row of `dimensions` numbers for each text.",
                )
            vectors += [row.tobytes() for row in made]
            if not all(self.check_vectors(vectors[start:])):
                raise StoreError(
                    "it gave vectors that are not of unit length",
                    where=f"embedder {self.name!r}",
                    hint="Divide each by its norm.",
                )
        return vectors


class SyncedIndex:
    """An index that follows the database."""

    def __init__(
        self,
        database: MemoryDatabase,
        encoder: TextEncoder,
        prior: PriorWork | None = None,
        *,
        instead: str | None = None,
    ) -> None:
        """Nothing is read before the first question.

        Args:
            database: To be followed.
            encoder: Of texts.
            prior: Work that counts in track records beside what is on record.
            instead: Why the database does not recall itself, if it is one that could.
        """
        self._database = database
        self._instead = instead
        self._encoder = encoder
        self._prior = prior if prior is not None and prior.embedder == encoder.name else None
        self._generation = 0
        self._lock = asyncio.Lock()
        self.index = RecallIndex(encoder.dimensions, self._prior)

    @property
    def nbytes(self) -> int:
        """Bytes the arrays of this process take."""
        return self.index.nbytes

    @property
    def method(self) -> str:
        """The way it recalls, in words."""
        return "exactly, in this process" + (f": {self._instead}" if self._instead else "")

    async def pairs(
        self, text: str, agents: Sequence[str], k: int, *, tenants: Collection[str] | None, require_success: bool
    ) -> dict[str, tuple[Pair, ...]]:
        """Return each agent's pairs to learn from, as `RecallIndex.examples`, on the present state of the database."""

        def look(connection: Connection, vector: Vector) -> dict[str, tuple[Pair, ...]]:
            find = partial(self.index.examples, require_success=require_success, tenants=tenants)
            chosen = {agent: find(vector, agent, k) for agent in agents}
            return read_pairs(connection, chosen)

        return await self._ask(text, look)

    async def tracks(
        self, text: str, agents: Sequence[str], *, tenants: Collection[str] | None
    ) -> dict[str, TrackRecord]:
        """`RecallIndex.tracks` on the present state of the database."""
        return await self._ask(text, lambda _, vector: self.index.tracks(vector, agents, tenants=tenants))

    async def search(
        self,
        text: str,
        k: int,
        *,
        tenants: Collection[str] | None,
        read: Callable[[Connection, Sequence[tuple[int, float]]], T],
    ) -> T:
        """Read the auctions that `RecallIndex.similar` finds."""
        return await self._ask(
            text, lambda connection, vector: read(connection, self.index.similar(vector, k, tenants=tenants))
        )

    async def _ask(self, text: str, question: Callable[[Connection, Vector], T]) -> T:
        """Answer a question about a text, in one transaction with catching up.

        Args:
            text: To be embedded.
            question: Asked of the connection and the text's vector, in a worker thread, one question at a time.
        """
        vector = as_vector(await self._encoder.encode(text))
        return await self._database.finish(self._answer(lambda connection: question(connection, vector)))

    async def _answer(self, question: Callable[[Connection], T]) -> T:
        def look(connection: Connection) -> tuple[list[tuple[int, str]], Sequence[T]]:
            missing = self._catch_up(connection)
            return missing, () if missing else (question(connection),)

        async with self._lock:
            while True:
                missing, answers = await self._database.reading(look)
                for answer in answers:
                    return answer
                await self._embed(missing)

    def _catch_up(self, connection: Connection) -> list[tuple[int, str]]:
        """Take in what is new; or, where tasks lack a vector of this embedder, give those back as (key, text).

        Rows are written once and read by rising keys, so a look at one row tells whether there is more.
        """
        revision, generation = connection.execute(_STATE).one()
        if generation != self._generation:
            left = {*connection.execute(select(auctions.c.key)).scalars()}
            left.update(connection.execute(select(evidence.c.key)).scalars())
            if self.index.retain(left):
                self.index = RecallIndex(self._encoder.dimensions, self._prior)
            self._generation = generation
        if revision == self.index.revision:
            return []
        missing = self._read_tasks(connection)
        if missing:
            return missing
        self._read_auctions(connection, revision)
        self.index.revision = revision
        return []

    def _read_tasks(self, connection: Connection) -> list[tuple[int, str]]:
        while True:
            asked = {"embedder": self._encoder.name, "after": self.index.last_task, "most": CHUNK}
            rows = connection.execute(_NEW_TASKS, asked).all()
            sound = self._encoder.check_vectors([row.vector for row in rows])
            lacking = [row.key for row, good in zip(rows, sound, strict=True) if not good]
            # What follows a gap is read again once the gap is closed: the index takes tasks by rising keys.
            whole = [row for row in rows if not lacking or row.key < lacking[0]]
            if whole:
                self.index.put_tasks(
                    [(row.key, row.text_digest) for row in whole], self._encoder.matrix([row.vector for row in whole])
                )
            if lacking or len(rows) < CHUNK:
                break
        texts = select(tasks.c.key, tasks.c.text).where(tasks.c.key.in_(lacking))
        return [(row.key, row.text) for row in connection.execute(texts).all()] if lacking else []

    async def _embed(self, missing: Sequence[tuple[int, str]]) -> None:
        vectors = await self._encoder.encode_all([text for _, text in missing])

        def store(connection: Connection) -> None:
            keys = [key for key, _ in missing]
            left = set(connection.execute(select(tasks.c.key).where(tasks.c.key.in_(keys))).scalars())
            for key, vector in zip(keys, vectors, strict=True):
                if key in left:
                    put_embedding(connection, key, self._encoder.name, vector)

        await self._database.write(store)

    def _read_auctions(self, connection: Connection, upto: int) -> None:
        seen = self.index.revision
        for one in read_changed_evidence(connection, seen):
            self.index.put_evidence(one)
        while seen < upto:
            changed, seen = read_changed(connection, seen, upto, CHUNK)
            for entry in changed:
                self.index.put(entry)


def read_pairs(
    connection: Connection,
    chosen: Mapping[str, Sequence[tuple[int, float]]],
    heads: Mapping[int, tuple[str, str]] | None = None,
) -> dict[str, tuple[Pair, ...]]:
    """The contrastive pairs of past auctions for each agent, in the order given.

    Args:
        connection: Reading.
        chosen: Auctions as (key, similarity), by the agent that is to learn. One that is gone gives no pair.
        heads: The id of each auction and the text of its task, where they were read before.
    """
    keys = {"keys": sorted({key for found in chosen.values() for key, _ in found})}
    if not keys["keys"]:
        return dict.fromkeys(chosen, ())
    heads = heads if heads is not None else _read_heads(connection, keys)
    candidates: dict[int, list[PairCandidate]] = {}
    for auction, agent, text, cost, value, refinement, won in connection.execute(_PLANS, keys):
        one = PairCandidate(agent=agent, text=text, net_cost=cost - value, refined=refinement is not None, won=won)
        candidates.setdefault(auction, []).append(one)

    def pair(agent: str, key: int, similarity: float) -> Pair | None:
        found = contrast(candidates.get(key, ()), agent)
        if key not in heads or found is None:
            return None
        losing, winning, own = found
        past, text = heads[key]
        return Pair(auction_id=past, task=text, similarity=similarity, losing=losing, winning=winning, own=own)

    return {
        agent: tuple(one for key, similarity in found if (one := pair(agent, key, similarity)) is not None)
        for agent, found in chosen.items()
    }


def _read_heads(connection: Connection, keys: Mapping[str, Sequence[int]]) -> dict[int, tuple[str, str]]:
    return {key: (name, text) for key, name, text in connection.execute(_HEADS, keys)}


def as_vector(stored: bytes) -> Vector:
    """A stored vector as an array."""
    return np.frombuffer(stored, dtype=STORED).astype(np.float32)
