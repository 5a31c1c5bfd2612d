"""The one place that knows PostgreSQL: connections, the writers' turn, who is alive, and what its errors mean.

What a file does by being locked is done here by advisory locks, which belong to a connection and go with it:

- Where the schema wants it, a writing transaction waits for the writers' lock at its beginning, so writers of all
  processes take turns, and rows become visible in the order of their keys.
- A process that announced itself shares a lock named by its token, on the connection it writes by. No other process
  gets it meanwhile.
- Who opens or sweeps holds the gate's lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import select as select_module
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, cast
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from sale.errors import StoreError
from sale.storage.backend import POOL_SECONDS, READERS, Backend
from sale.storage.schema import Schema

POLL_SECONDS: Final = 0.02
CONNECT_SECONDS: Final = 10

_KEEPALIVES: Final = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""So the server notices within half a minute that a machine is gone, which closed no connection: its locks go then."""

_TRY: Final = text("SELECT pg_try_advisory_lock(:key)")
_LET_GO: Final = text("SELECT pg_advisory_unlock(:key)")
_TURN: Final = text("SELECT pg_advisory_xact_lock(:key)")
_SIZE: Final = text(
    "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM unnest(CAST(:names AS text[])) AS name"
)

_RIGHTS = "The user needs to make tables and to read and write them; `GRANT ALL ON SCHEMA public TO user` is enough."
_AGAIN = "Look at the server, and try again. What was on record still is."
FAULTS: Final[dict[str, tuple[str, str]]] = {
    "28P01": ("the server refuses the password", "Give the right one: in PGPASSWORD, ~/.pgpass, or {setting}."),
    "28000": ("the server refuses this user", "Check the user in {setting}, and the server's pg_hba.conf."),
    "3D000": ("there is no such database on the server", "Make it with `createdb`, or check its name in {setting}."),
    "42501": ("permission denied", _RIGHTS),
    "25006": ("it cannot be written", "The server is a replica, or read-only: name the primary in {setting}."),
    "55P03": ("another program keeps it locked", "Close the program that has it open, or try again."),
    "53100": ("the disk is full", "Free some space on the server."),
    "53300": ("the server has no connection left", "Raise max_connections, or close programs that use it."),
    "57P01": ("the server was shut down", _AGAIN),
    "57P03": ("the server is just starting", "Try again in a moment."),
    "08006": ("the connection broke", _AGAIN),
}
"""PostgreSQL's error codes, with their meaning for a user and the remedy; `{setting}` is the schema's."""
# Where a connection comes to nothing there is a text, and no code.
_SAID: Final = (
    (re.compile(r"password authentication failed|no password supplied"), "28P01"),
    (re.compile(r"role .* does not exist|no pg_hba\.conf entry|is not permitted to log in"), "28000"),
    (re.compile(r"database .* does not exist"), "3D000"),
    (re.compile(r"too many clients|connection slots are reserved|too many connections"), "53300"),
    (re.compile(r"the database system is starting up"), "57P03"),
    (re.compile(r"terminating connection due to administrator command"), "57P01"),
    (re.compile(r"server closed the connection|connection is lost|connection is closed"), "08006"),
)


class _HasFileno(Protocol):
    """Something with a socket."""

    def fileno(self) -> int:
        """The number of its file."""
        ...


class ServerPresence:
    """One open database on a server, as other processes see it; see `backend.Presence`."""

    def __init__(self, key: str, writer: Engine, alone: Engine, where: str) -> None:
        """Nothing is connected yet.

        Args:
            key: Of the schema.
            writer: Has the one connection that this process writes by.
            alone: Makes connections that are not kept.
            where: Which database, for messages.
        """
        self.token = uuid.uuid4().hex
        self._key = key
        self._where = where
        self._writer = writer
        self._alone = alone
        self._gate: Connection | None = None
        self._announced = False
        event.listen(writer, "connect", self._connected)

    def _connected(self, connection: DBAPIConnection, _: object) -> None:
        """A writer's connection that broke is made anew by the pool, and the lock of the token with it."""
        if self._announced:
            self._hold(connection)

    def _hold(self, connection: DBAPIConnection | None) -> None:
        _at_once(connection, f"SELECT pg_advisory_lock_shared({lock_key(self._key, self.token)})")

    @asynccontextmanager
    async def gate(self, seconds: float) -> AsyncGenerator[None]:
        """Only one process at a time: for opening, migrating and sweeping."""
        connection = await asyncio.to_thread(self._alone.connect)
        try:
            deadline = time.monotonic() + seconds
            while not await asyncio.to_thread(_taken, connection, lock_key(self._key, "gate")):
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"another process is still opening it after {seconds:g} s",
                        where=self._where,
                        hint="Look for a `sale` process that hangs.",
                    )
                await asyncio.sleep(POLL_SECONDS)
            self._gate = connection
            yield
        finally:
            if self._gate is connection:  # another of this process may have it, for which this one waited
                self._gate = None
            await asyncio.to_thread(_end, connection)

    def announce(self) -> None:
        """Hold the token from now on."""
        self._announced = True
        with self._writer.connect() as connection:
            self._hold(connection.connection.dbapi_connection)

    def leave(self) -> None:
        """Let go of the token."""
        if self._announced:
            self._announced = False
            with suppress(SQLAlchemyError), self._writer.connect() as connection:
                _at_once(connection.connection.dbapi_connection, "SELECT pg_advisory_unlock_all()")

    def find_dead(self, tokens: Sequence[str]) -> list[str]:
        """Those of these tokens that no process holds. To be called inside the gate.

        Raises:
            RuntimeError: It is called outside, where nothing can be said.
        """
        gate = self._gate
        if gate is None:
            raise RuntimeError("find_dead is called outside the gate")
        gone: list[str] = []
        for token in tokens:
            key = lock_key(self._key, token)
            if _taken(gate, key):
                gate.execute(_LET_GO, {"key": key})
                gone.append(token)
        return gone

    def tidy(self) -> None:
        """Locks of the dead are gone with their connections."""


class PostgresServer(Backend):
    """A database on a PostgreSQL server."""

    def __init__(self, url: URL, schema: Schema, busy_seconds: float) -> None:
        """Nothing is connected yet.

        Args:
            url: Of the database.
            schema: The tables that belong there.
            busy_seconds: How long a writer waits for its turn.

        Raises:
            ModuleNotFoundError: psycopg is not installed.
        """
        super().__init__(schema, _shown(url))
        url = url.set(drivername="postgresql+psycopg")
        self._secrets = _secrets(url)
        self.reader = _engine(url, isolation_level="REPEATABLE READ", pool_size=READERS)
        self.writer = _engine(url, isolation_level="READ COMMITTED", pool_size=1)
        self._alone = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_HOW)
        self._patience = max(1, round(busy_seconds * 1000))  # milliseconds
        event.listen(self.writer, "connect", self._set_up)
        if schema.serial:
            event.listen(self.writer, "begin", self._take_turn)
        self.presence = ServerPresence(schema.key, self.writer, self._alone, self.where)

    def _set_up(self, connection: DBAPIConnection, _: object) -> None:
        _at_once(connection, f"SET lock_timeout = {self._patience}")
        for name, value in _KEEPALIVES.items():
            _at_once(connection, f"SET {name} = {value}")

    def _take_turn(self, connection: Connection) -> None:
        connection.execute(_TURN, {"key": lock_key(self.schema.key, "writers")})

    def check_place(self) -> None:
        """A server's database is where it is reached."""

    def wipe(self) -> None:
        """Write the tables anew, without what was deleted. The server's own log and copies are not ours to change."""
        with self._alone.connect() as connection:
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {', '.join(self.schema.list_tables(connection))}")

    def shrink(self) -> None:
        """Write the tables anew, without the room that is no longer used."""
        self.wipe()

    def size(self, connection: Connection) -> int:
        """Bytes on the server's disk, of our tables and their indices."""
        return int(connection.execute(_SIZE, {"names": self.schema.list_tables(connection)}).scalar_one())

    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it, without a password and without the values of a statement."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = str(cause).strip().partition("\n")[0]
        for secret in self._secrets:
            said = said.replace(secret, "***")
        code = getattr(cause, "sqlstate", None) or next((code for pattern, code in _SAID if pattern.search(said)), None)
        setting = self.schema.url_setting
        if code in FAULTS:
            what, hint = FAULTS[code]
            return StoreError(f"{what} ({said})", where=self.where, hint=hint.format(setting=setting))
        if code is None:
            hint = f"Is it running? Check host and port in {setting}, and that it may be reached from here."
            return StoreError(f"the server cannot be reached ({said})", where=self.where, hint=hint)
        return StoreError(f"{said} ({code})", where=self.where, hint="This should not happen: please report it.")

    def close(self) -> None:
        """Let go of all connections."""
        super().close()
        self._alone.dispose()


def lock_key(schema: str, name: str) -> int:
    """The number of an advisory lock: 64 bits, of a database's own."""
    return int.from_bytes(hashlib.blake2b(f"sale {schema} {name}".encode(), digest_size=8).digest(), signed=True)


_HOW: Final = {"connect_timeout": CONNECT_SECONDS, "application_name": "sale"}


def _engine(url: URL, *, isolation_level: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        isolation_level=isolation_level,  # pyright: ignore[reportArgumentType]  a literal of SQLAlchemy's own
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        connect_args=_HOW,
    )
    event.listen(engine, "checkout", _refuse_broken)
    return engine


def _refuse_broken(connection: DBAPIConnection, *_: object) -> None:
    """Have the pool make a connection anew that the server has closed.

    The server says so on the connection, where nothing else comes in between transactions: to look costs no request. A
    question to the server before each transaction was as many transactions again.

    Raises:
        DisconnectionError: Something has come.
    """
    look = select_module.poll()
    look.register(cast("_HasFileno", connection).fileno(), select_module.POLLIN)
    if look.poll(0):
        raise DisconnectionError("the server has closed the connection")


def _taken(connection: Connection, key: int) -> bool:
    """Try to take a lock."""
    return bool(connection.execute(_TRY, {"key": key}).scalar_one())


def _end(connection: Connection) -> None:
    """Let go of all locks; the server would notice a closed connection only a little later."""
    with suppress(SQLAlchemyError):
        connection.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    connection.close()


def _at_once(connection: DBAPIConnection | None, statement: str) -> None:
    """Run a statement outside of any transaction, so that it outlives them all."""
    if connection is None:
        return
    before = connection.autocommit
    connection.autocommit = True
    try:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
    finally:
        connection.autocommit = before


def _shown(url: URL) -> str:
    """A URL without password and parameters, which may hold one; with the directory of a local socket."""
    host = url.query.get("host", "") if not url.host else ""
    socket = f"?host={host}" if isinstance(host, str) and host else ""
    bare = URL.create("postgresql", username=url.username, host=url.host, port=url.port, database=url.database)
    return bare.render_as_string() + socket


def _secrets(url: URL) -> tuple[str, ...]:
    """The password, in every form in which an error may repeat it."""
    found = [str(url.password or "")]
    found += [value for name, value in url.query.items() if "password" in name and isinstance(value, str)]
    forms = {form for secret in found if secret for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    return tuple(sorted(forms, key=len, reverse=True))
