"""All that is particular to pgvector: a table of vectors beside the memory's own, for recall by the server.

Each embedder has a table of its own, `memory_vectors_<digest of its name>`, with one `halfvec` a distinct text and an
HNSW index over them. All of it is derived from the tables `tasks` and `embeddings`: it may be dropped while no process
has the memory open, and is made anew. The migrations leave it out, as the extension may come later than the memory.
Whoever writes an embedding writes its row here in the same transaction; `vector_tables` says which tables there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from sqlalchemy import BigInteger, Connection, bindparam, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from sale.memory.schema import tasks, vector_tables
from sale.storage.columns import text_digest

MAX_INLINE: Final = 2000
"""Dimensions of which a page takes a row or more."""
MAX_DIMENSIONS: Final = 4000
"""An HNSW index over `halfvec` takes no more."""
FIRST_VERSION: Final = (0, 8)
"""Of pgvector: the first whose index scans go on until enough rows pass a filter."""
BUILD_BREADTH: Final = 128
"""Twice the usual `ef_construction`: a text costs twice as long to add, and fewer are overlooked ever after."""
NODE_BYTES: Final = 1000
"""Of a text in the graph while it is built, beside its vector."""
MIN_BUILD_BYTES: Final = 2**26
MAX_BUILD_BYTES: Final = 2**31
"""For building the index, where the server's own `maintenance_work_mem` is not more: a graph that does not fit is built
on disk, many times slower."""
NO_ROOM: Final = "53100"
"""PostgreSQL's code where a disk is full, or the memory that processes share, which is one to the system."""
STORED: Final = np.dtype("<f4")
_KNOWN_IN: Final = "sale_vector_tables"

_VERSION: Final = text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
_THERE: Final = text("SELECT to_regclass(:name) IS NOT NULL")
_OFFERED: Final = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
_BUILD_MEMORY: Final = text(
    "SELECT set_config('maintenance_work_mem', "
    "greatest(:size, pg_size_bytes(current_setting('maintenance_work_mem'))) / 1024 || 'kB', true)"
).bindparams(bindparam("size", type_=BigInteger))


def is_server(connection: Connection) -> bool:
    """Return whether the database is one that may have the extension."""
    return connection.dialect.name == "postgresql"


def find_obstacle(connection: Connection, dimensions: int) -> str | None:
    """Make sure that the extension is there, installing it where that is allowed.

    Args:
        connection: Writing, to a PostgreSQL server.
        dimensions: Of the vectors that are to be kept.

    Returns:
        Why the server cannot recall, in words for a user; `None` where it can.
    """
    if dimensions > MAX_DIMENSIONS:
        return f"the embedder's vectors have {dimensions} dimensions, and pgvector's index takes {MAX_DIMENSIONS}"
    version = connection.execute(_VERSION).scalar()
    if version is None:
        if not connection.execute(_OFFERED).scalar_one():
            return "the server does not have the extension pgvector"
        try:
            with connection.begin_nested():
                connection.exec_driver_sql("CREATE EXTENSION vector")
        except DBAPIError:
            return "the user may not install the extension pgvector: have an administrator run CREATE EXTENSION vector"
        version = connection.execute(_VERSION).scalar_one()
    if tuple(int(part) for part in str(version).split(".")[:2]) < FIRST_VERSION:
        wanted = ".".join(map(str, FIRST_VERSION))
        return f"the extension pgvector is of version {version}, and {wanted} is needed: ALTER EXTENSION vector UPDATE"
    return None


def register(connection: Connection, embedder: str, dimensions: int) -> str:
    """Make the table of an embedder where there is none.

    Args:
        connection: Writing; `find_obstacle` found none.
        embedder: Its name.
        dimensions: Of its vectors.

    Returns:
        The table's name.
    """
    name = f"memory_vectors_{text_digest(embedder)[:16]}"
    known = find(connection, embedder) is not None
    if known and connection.execute(_THERE, {"name": name}).scalar_one():
        return name  # to make sure of it once more would lock out those who read
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {name} (digest varchar(64) PRIMARY KEY, vector halfvec({dimensions}) NOT NULL)"
    )
    if dimensions <= MAX_INLINE:  # out of line they would be fetched by a second look-up each
        connection.exec_driver_sql(f"ALTER TABLE {name} ALTER COLUMN vector SET STORAGE PLAIN")
    if known:
        mine = vector_tables.c.embedder == embedder
        connection.execute(update(vector_tables).where(mine).values(upto=0, indexed=False))
    else:
        connection.execute(insert(vector_tables), {"embedder": embedder, "name": name, "upto": 0, "indexed": False})
    return name


def find(connection: Connection, embedder: str) -> str | None:
    """Return the name of an embedder's table, or `None`. What is found is kept with the connection."""
    known: dict[str, str] = connection.info.setdefault(_KNOWN_IN, {})
    if embedder not in known:
        asked = select(vector_tables.c.name).where(vector_tables.c.embedder == embedder)
        name = connection.execute(asked).scalar()
        if name is None:
            return None
        known[embedder] = name
    return known[embedder]


def build_index(connection: Connection, embedder: str, name: str) -> None:
    """Make the index over what is there; rows that come later are added to it."""
    needed = (
        f"SELECT count(*) * (2 * coalesce((SELECT vector_dims(vector) FROM {name} LIMIT 1), 0) + {NODE_BYTES}) "  # noqa: S608
        f"FROM {name}"
    )
    size = min(MAX_BUILD_BYTES, MIN_BUILD_BYTES + int(connection.exec_driver_sql(needed).scalar_one()))
    connection.execute(_BUILD_MEMORY, {"size": size})
    build = (
        f"CREATE INDEX IF NOT EXISTS {name}_hnsw ON {name} USING hnsw (vector halfvec_ip_ops) "
        f"WITH (ef_construction = {BUILD_BREADTH})"
    )
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(build)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != NO_ROOM:
            raise
        # Several processes share the graph, and a container often has 64 MiB for all that is shared.
        connection.exec_driver_sql("SET LOCAL max_parallel_maintenance_workers = 0")
        connection.exec_driver_sql(build)
    connection.execute(update(vector_tables).where(vector_tables.c.embedder == embedder).values(indexed=True))


def put(connection: Connection, name: str, vectors: Mapping[str, bytes]) -> None:
    """Add vectors, by the digest of their text; those that are there are replaced.

    Args:
        connection: Writing.
        name: Of the table.
        vectors: As they are stored: float32, little-endian.
    """
    rows = [{"digest": digest, "vector": literal(vector)} for digest, vector in sorted(vectors.items())]
    if rows:
        statement = (
            f"INSERT INTO {name} (digest, vector) VALUES (:digest, CAST(:vector AS halfvec)) "  # noqa: S608  ours
            "ON CONFLICT (digest) DO UPDATE SET vector = excluded.vector"
        )
        connection.execute(text(statement), rows)


def follow(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Take in rows that were just added to `embeddings`, where their embedder has a table.

    Args:
        connection: Writing.
        rows: Fields of `embeddings`.
    """
    if not is_server(connection):
        return
    by_embedder: dict[str, dict[int, bytes]] = {}
    for row in rows:
        by_embedder.setdefault(str(row["embedder"]), {})[int(str(row["task"]))] = bytes(row["vector"])  # pyright: ignore[reportArgumentType]
    for embedder, vectors in by_embedder.items():
        if (name := find(connection, embedder)) is not None:
            digests = select(tasks.c.key, tasks.c.text_digest).where(tasks.c.key.in_(list(vectors)))
            put(connection, name, {digest: vectors[key] for key, digest in connection.execute(digests).all()})


def drop_orphans(connection: Connection) -> None:
    """Delete the vectors of texts that no task has any more."""
    if is_server(connection):
        for name in connection.execute(select(vector_tables.c.name)).scalars().all():
            connection.exec_driver_sql(
                f"DELETE FROM {name} AS v "  # noqa: S608  a name of ours
                "WHERE NOT EXISTS (SELECT 1 FROM tasks AS t WHERE t.text_digest = v.digest)"
            )


def literal(vector: bytes) -> str:
    """A stored vector as pgvector reads it."""
    return "[" + ",".join(map(repr, np.frombuffer(vector, dtype=STORED).astype(np.float64).tolist())) + "]"
