"""Recall by a PostgreSQL server with pgvector: nothing is loaded, each question reads the few rows it is about.

The server chooses who may be among the nearest; those are put into an index of their own, the one that small memories
hold whole, and it decides. So the rules are in one place, similarities are those of full vectors, and the two ways of
recall differ only where the server's index, an approximation, overlooks one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import ARRAY, BigInteger, Connection, TextClause, any_, bindparam, cast, select, text, update

from sale.memory import nearest_sql, vector_table
from sale.memory.database import MemoryDatabase
from sale.memory.index_entries import read_by_key, read_evidence_by_key, read_with_texts
from sale.memory.index_sync import CHUNK, TextEncoder, as_vector, read_pairs
from sale.memory.prior import PriorWork
from sale.memory.retrieval import RecallIndex, Vector
from sale.memory.schema import embeddings, tasks, vector_tables
from sale.memory.track_records import NEAREST
from sale.memory.writing import put_embedding
from sale.storage.columns import ExactText
from sale.types import Pair, TrackRecord

T = TypeVar("T")
FEW: Final = 1000
"""Fewer rows than these pass a filter: then to sort them all is as fast as to walk the index, and exact."""
SOME: Final = 10_000
"""Fewer auctions than these are of the tenants asked for, among those of others: then all their texts are sorted, which
is exact. A text costs the server some microseconds; of those that a walk through the index meets too few are theirs."""
SPARE: Final = 8
"""Texts more than are wanted: half precision may order the last ones otherwise."""
MIN_BREADTH: Final = 400
MAX_BREADTH: Final = 1000
"""Of the search in the index, `hnsw.ef_search`: the more, the fewer are overlooked. The server takes no more."""
SAVED_EVERY: Final = 1000

Chosen = dict[str, list[int]]
"""Auctions that may be among the nearest, by agent."""


class _MissingVectorsError(Exception):
    """Tasks lack a vector of this embedder. It never leaves this module."""

    def __init__(self, found: Sequence[int]) -> None:
        """Take the tasks' keys."""
        self.tasks = found


class ServerRecall:
    """Recall by the server; see `recall.RecallMethod`."""

    def __init__(self, database: MemoryDatabase, encoder: TextEncoder, table: str, prior: PriorWork | None) -> None:
        """Nothing is read before the first question.

        Args:
            database: On a server with pgvector.
            encoder: Of texts.
            table: Of its vectors; see `vector_table.register`.
            prior: Work that counts in track records beside what is on record.
        """
        self._database = database
        self._encoder = encoder
        self._table = table
        self._known = RecallIndex(encoder.dimensions, prior if prior and prior.embedder == encoder.name else None)
        self._upto = self._saved = -1
        # Of whom so much is on record is kept: it only grows, but for what is forgotten.
        self._busy_agents: set[tuple[TextClause, str]] = set()
        self._busy_tenants: set[tuple[str, ...] | None] = set()
        self._busiest_tenants: set[tuple[str, ...]] = set()
        unknown = (
            "SELECT t.key, v.digest IS NULL AS lacking "  # noqa: S608  a name of ours
            f"FROM tasks t LEFT JOIN {table} v ON v.digest = t.text_digest "
            "WHERE t.key > :after ORDER BY t.key LIMIT :most"
        )
        self._unknown = text(unknown).bindparams(bindparam("after", type_=BigInteger))

    @property
    def nbytes(self) -> int:
        """Bytes the arrays of this process take."""
        return self._known.nbytes

    @property
    def method(self) -> str:
        """The way it recalls, in words."""
        return "by the server (pgvector)"

    async def pairs(
        self, text: str, agents: Sequence[str], k: int, *, tenants: Collection[str] | None, require_success: bool
    ) -> dict[str, tuple[Pair, ...]]:
        """Return each agent's pairs to learn from."""
        make = partial(nearest_sql.examples, require_success=require_success)

        def look(connection: Connection, vector: Vector) -> dict[str, tuple[Pair, ...]]:
            many = self._find_many(connection, nearest_sql.MANY_OF_AGENT, agents, tenants)
            chosen = self._choose(connection, make, vector, agents, k + SPARE, tenants, many)
            index, heads = self._index_with_texts(connection, chosen)
            find = partial(index.examples, require_success=require_success, tenants=tenants)
            return read_pairs(connection, {agent: find(vector, agent, k) for agent in agents}, heads)

        return await self._ask(text, look)

    async def tracks(
        self, text: str, agents: Sequence[str], *, tenants: Collection[str] | None
    ) -> dict[str, TrackRecord]:
        """Return each agent's record at the past tasks most like this one."""

        def look(connection: Connection, vector: Vector) -> dict[str, TrackRecord]:
            many = self._find_many(connection, nearest_sql.MANY_WORKS, agents, tenants)
            chosen = self._choose(connection, nearest_sql.works, vector, agents, NEAREST + SPARE, tenants, many)
            index = self._index_of_work(connection, chosen)
            return index.tracks(vector, agents, tenants=tenants)

        return await self._ask(text, look)

    async def search(
        self,
        text: str,
        k: int,
        *,
        tenants: Collection[str] | None,
        read: Callable[[Connection, Sequence[tuple[int, float]]], T],
    ) -> T:
        """Read the auctions of the k tasks most similar to a text."""

        def look(connection: Connection, vector: Vector) -> T:
            many = self._find_many(connection, None, ("",), tenants)
            chosen = self._choose(connection, nearest_sql.similar, vector, ("",), k + SPARE, tenants, many)
            index, _ = self._index_with_texts(connection, chosen)
            return read(connection, index.similar(vector, k, tenants=tenants))

        return await self._ask(text, look)

    # ------------------------------------------------------------------------------------------- one transaction

    async def _ask(self, asked: str, question: Callable[[Connection, Vector], T]) -> T:
        vector = as_vector(await self._encoder.encode(asked))

        def look(connection: Connection) -> tuple[list[int], Sequence[T]]:
            try:
                self._catch_up(connection)
                return [], (question(connection, vector),)
            except _MissingVectorsError as error:
                return list(error.tasks), ()

        async def answer() -> T:
            while True:
                missing, answers = await self._database.reading(look)
                for one in answers:
                    await self._save_progress()
                    return one
                await self._embed(missing)

        return await self._database.finish(answer())

    def _catch_up(self, connection: Connection) -> None:
        """See that all texts have a vector. Rows are read by rising keys: one look tells whether there is more.

        Raises:
            _MissingVectorsError: Some have none.
        """
        if self._upto < 0:
            asked = select(vector_tables.c.upto).where(vector_tables.c.embedder == self._encoder.name)
            self._upto = self._saved = connection.execute(asked).scalar() or 0
        while rows := connection.execute(self._unknown, {"after": self._upto, "most": CHUNK}).all():
            if lacking := [row.key for row in rows if row.lacking]:
                raise _MissingVectorsError(lacking)
            self._upto = rows[-1].key
            if len(rows) < CHUNK:
                break

    async def _embed(self, missing: Sequence[int]) -> None:
        """Give tasks the vectors they lack: those that are stored where they are sound, else new ones."""
        mine = (embeddings.c.task == tasks.c.key) & (embeddings.c.embedder == self._encoder.name)
        wanted = select(tasks.c.key, tasks.c.text, embeddings.c.vector).outerjoin(embeddings, mine)

        def look(connection: Connection) -> list[tuple[int, str, bytes | None]]:
            rows = connection.execute(wanted.where(tasks.c.key.in_(missing))).all()
            return [(row.key, row.text, row.vector) for row in rows]

        rows = await self._database.reading(look)
        sound = self._encoder.check_vectors([vector for _, _, vector in rows])
        lacking = [(key, text) for (key, text, _), good in zip(rows, sound, strict=True) if not good]
        made = dict(
            zip((key for key, _ in lacking), await self._encoder.encode_all([one for _, one in lacking]), strict=True)
        )
        stored = {key: vector for (key, _, vector), good in zip(rows, sound, strict=True) if good and vector}

        def store(connection: Connection) -> None:
            left = connection.execute(select(tasks.c.key, tasks.c.text_digest).where(tasks.c.key.in_(missing))).all()
            for key in sorted(made.keys() & {row.key for row in left}):
                put_embedding(connection, key, self._encoder.name, made[key])
            ready = {row.text_digest: stored[row.key] for row in left if row.key in stored}
            vector_table.put(connection, self._table, ready)

        await self._database.write(store)

    async def _save_progress(self) -> None:
        """Put down what need not be looked at again, and build the index once the table is first complete."""
        if self._saved > 0 and self._upto - self._saved < SAVED_EVERY:
            return
        upto, mine = self._upto, vector_tables.c.embedder == self._encoder.name

        def save(connection: Connection) -> None:
            indexed = connection.execute(select(vector_tables.c.indexed).where(mine)).scalar()
            if indexed is False:
                vector_table.build_index(connection, self._encoder.name, self._table)
            connection.execute(update(vector_tables).where(mine, vector_tables.c.upto < upto).values(upto=upto))

        self._saved = max(upto, 1)
        await self._database.write(save)

    def _find_many(
        self, connection: Connection, count: TextClause | None, agents: Sequence[str], tenants: Collection[str] | None
    ) -> set[str]:
        """The agents of whom so much is on record, for these tenants, that the index is the way to ask."""
        whose = None if tenants is None else tuple(sorted(tenants))
        if not self._passes(connection, whose):
            return set()
        if count is None:
            return set(agents)
        unknown = [agent for agent in agents if (count, agent) not in self._busy_agents]
        if unknown:
            rows = connection.execute(count, {"agents": _escaped(unknown), "few": FEW}).all()
            found = dict(zip(unknown, (number for _, number in rows), strict=True))
            self._busy_agents |= {(count, agent) for agent, number in found.items() if number >= FEW}
        return {agent for agent in agents if (count, agent) in self._busy_agents}

    def _passes(self, connection: Connection, tenants: tuple[str, ...] | None) -> bool:
        if tenants not in self._busy_tenants:
            number = (
                connection.execute(nearest_sql.MANY, {"few": FEW}).scalar_one()
                if tenants is None
                else connection.execute(
                    nearest_sql.MANY_OF_TENANTS, {"tenants": _escaped(tenants), "few": FEW}
                ).scalar_one()
            )
            if number < FEW:
                return False
            self._busy_tenants.add(tenants)
        return True

    def _set_out(
        self, connection: Connection, tenants: Collection[str] | None, texts: int, agents: int
    ) -> tuple[nearest_sql.Way, ...]:
        """Make the transaction's settings, and return the ways to ask for so many agents, one after the other."""
        breadth = min(MAX_BREADTH, max(MIN_BREADTH, texts * 3 // 2))
        if tenants is not None and _has_others(connection, tenants):
            if self._is_some(connection, tenants):
                connection.execute(nearest_sql.SET_NEAR)
                return ("near",)
            breadth = MAX_BREADTH
        connection.execute(nearest_sql.SET, {"breadth": str(breadth)})
        return ("shared", "walk") if agents > 1 else ("walk",)

    def _is_some(self, connection: Connection, tenants: Collection[str]) -> bool:
        """Return whether these tenants have so few auctions that all their texts are sorted."""
        whose = tuple(sorted(tenants))
        if whose in self._busiest_tenants:
            return False
        given = {"tenants": _escaped(whose), "few": SOME}
        if connection.execute(nearest_sql.MANY_OF_TENANTS, given).scalar_one() < SOME:
            return True
        self._busiest_tenants.add(whose)
        return False

    def _choose(
        self,
        connection: Connection,
        make: Callable[..., TextClause],
        vector: Vector,
        agents: Sequence[str],
        wanted: int,
        tenants: Collection[str] | None,
        many: set[str],
    ) -> Chosen:
        """Ask through the index for those of whom much is on record; exactly for the others, and where it gave up.

        All texts of tenants with but some thousand auctions among many are sorted, in place of a search in the index.
        """
        chosen: Chosen = {agent: [] for agent in agents}
        given: dict[str, Any] = {"vector": vector_table.literal(vector.tobytes()), "wanted": wanted}
        if tenants is not None:
            given["tenants"] = _escaped(sorted(tenants))

        def ask(who: Sequence[str], way: nearest_sql.Way, texts: int = 0) -> list[str]:
            """Choose for these agents; gives back those who found too few."""
            statement = make(self._table, way=way, tenants=tenants is not None)
            original = dict(zip(_escaped(who), who, strict=True))
            more = {"texts": texts} if way == "shared" else {}
            for agent in who:
                chosen[agent].clear()
            for agent, key in connection.execute(statement, {**given, **more, "agents": list(original)}):
                found = chosen[original[agent]]
                if len(found) < wanted:  # of a shared walk there may be more
                    found.append(key)
            return [agent for agent in who if len(chosen[agent]) < wanted]

        if few := [agent for agent in agents if agent not in many]:
            ask(few, "exact")
        if short := [agent for agent in agents if agent in many]:
            texts = min(MAX_BREADTH, wanted * (len(short) + 1))
            ways = self._set_out(connection, tenants, texts, len(short))
            for way in ways:
                short = short and ask(short, way, texts)
            if short and "near" not in ways:
                connection.execute(nearest_sql.RESET)
                ask(short, "exact")
        return chosen

    def _index_with_texts(
        self, connection: Connection, chosen: Mapping[str, Sequence[int]]
    ) -> tuple[RecallIndex, dict[int, tuple[str, str]]]:
        """Put auctions that were chosen to learn from into an index.

        Returns:
            The index, and by key the id of each auction and the text of its task.

        Raises:
            _MissingVectorsError: A task has no sound vector.
        """
        index = RecallIndex(self._encoder.dimensions)
        found = read_with_texts(connection, _keys(chosen), self._encoder.name)
        self._put_tasks(index, {one.entry.task: (one.digest, one.vector) for one in found})
        for one in found:
            index.put(one.entry)
        return index, {one.entry.auction: (one.id, one.text) for one in found}

    def _index_of_work(self, connection: Connection, chosen: Mapping[str, Sequence[int]]) -> RecallIndex:
        """Put work that was chosen into an index, beside what is known from elsewhere.

        Raises:
            _MissingVectorsError: A task has no sound vector.
        """
        index, keys = deepcopy(self._known), _keys(chosen)
        entries = read_by_key(connection, keys, bidders=False)
        known = read_evidence_by_key(connection, keys) if len(entries) < len(keys) else []
        mine = (embeddings.c.task == tasks.c.key) & (embeddings.c.embedder == self._encoder.name)
        found = select(tasks.c.key, tasks.c.text_digest, embeddings.c.vector).outerjoin(embeddings, mine)
        wanted = sorted({entry.task for entry in (*entries, *known)})
        rows = connection.execute(
            found.where(tasks.c.key == any_(cast(wanted, ARRAY(BigInteger)))).order_by(tasks.c.key)
        ).all()
        self._put_tasks(index, {row.key: (row.text_digest, row.vector) for row in rows})
        for entry in entries:
            index.put(entry)
        for one in known:
            index.put_evidence(one)
        return index

    def _put_tasks(self, index: RecallIndex, found: Mapping[int, tuple[str, bytes | None]]) -> None:
        """Put tasks, by rising keys, with digest and vector into an index.

        Raises:
            _MissingVectorsError: One has no sound vector.
        """
        vectors = [vector or b"" for _, vector in found.values()]
        sound = self._encoder.check_vectors(vectors)
        if lacking := [key for key, good in zip(found, sound, strict=True) if not good]:
            raise _MissingVectorsError(lacking)
        if found:
            index.put_tasks([(key, digest) for key, (digest, _) in found.items()], self._encoder.matrix(vectors))


def _keys(chosen: Mapping[str, Sequence[int]]) -> list[int]:
    return sorted({key for found in chosen.values() for key in found})


def _has_others(connection: Connection, tenants: Collection[str]) -> bool:
    """Return whether others than these have auctions: then few of many texts that are met in the index are theirs."""
    own = set(_escaped(tenants))
    # Both ends of the index of tenants; one between is missed, and then less is searched.
    return any(str(one) not in own for one in connection.execute(nearest_sql.ENDS).one())


def _escaped(names: Sequence[str] | Collection[str]) -> list[str]:
    """Names as the database has them."""
    kept = ExactText()
    return [kept.process_bind_param(name, None) or "" for name in names]  # pyright: ignore[reportArgumentType]  no dialect is asked
