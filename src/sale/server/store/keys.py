"""Virtual keys in the database, and at hand: a key that is in use costs no trip to the database.

What is at hand is believed for less than a second after the last look at the one number that every change of a key
raises, so that a revoked key is refused everywhere within a second.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, delete, exists, literal, select, update

from sale.errors import AuthenticationError, InputError, RateLimitError, StoreError, retrieve_error
from sale.server.store import secrets
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import answers, keys, responses, sessions, state
from sale.server.store.types import Holder, Period
from sale.storage.columns import ExactText
from sale.types.labels import NOTHING_REQUIRED, Requirements
from sale.wording import quantity

BELIEVED_SECONDS: Final = 0.6
IN_USE_SECONDS: Final = 5.0
KEPT: Final = 10_000
TRIES: Final = 5
MAKE_ONE: Final = "`sale keys create NAME` makes one."
NONE_LEFT: Final = "every key of this server is revoked or has expired, so nobody gets in"
REMOVE_ALL: Final = (
    "`sale keys delete` removes keys for good; without any, this machine's own programs are served without one."
)
_THERE: Final = select(keys).where(keys.c.deleted_at.is_(None))


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRow:
    """A row of keys. Money is in nano-dollars."""

    id: str
    name: str
    prefix: str
    salt: bytes
    digest: bytes
    budget: int | None
    period: Period | None
    rpm: int | None
    tpm: int | None
    agents: frozenset[str] | None
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    deleted_at: datetime | None = None
    tenant: str | None = None
    """`None`: a tenant of its own."""
    require: str | None = None
    """Labels that agents must have; `None` for none."""

    @property
    def belongs_to(self) -> str:
        """The tenant it asks for."""
        return f"key-{self.id}" if self.tenant is None else self.tenant

    @property
    def holder(self) -> Holder:
        """The holder of the key."""
        require = Requirements.parse(self.require) if self.require else NOTHING_REQUIRED
        return Holder(key_id=self.id, name=self.name, agents=self.agents, tenant=self.belongs_to, require=require)

    def __repr__(self) -> str:
        """Without the digest: a log needs to say which key, not how to check it."""
        return f"Key({self.id}, {self.prefix}…)"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyringState:
    """The state of all keys together."""

    changes: int
    """Raised with every change of one."""
    there: bool
    """There is one, whatever its state."""
    in_force: bool
    """There is one that was not revoked and has not expired."""


def _standing(connection: Connection) -> KeyringState:
    now = datetime.now(UTC)
    lasting = keys.c.expires_at.is_(None) | (keys.c.expires_at > now)
    asked = select(
        state.c.changes,
        exists(_THERE).label("there"),
        exists(_THERE.where(keys.c.revoked_at.is_(None), lasting)).label("in_force"),
    )
    row = connection.execute(asked).one()
    return KeyringState(changes=row.changes, there=bool(row.there), in_force=bool(row.in_force))


def _key(row: RowMapping) -> KeyRow:
    values: dict[str, Any] = {column.name: row[column.name] for column in keys.columns}
    if values["agents"] is not None:
        values["agents"] = frozenset(values["agents"])
    return KeyRow(**values)


def insert(connection: Connection, key: KeyRow) -> None:
    """Write a new key."""
    row = {column.name: getattr(key, column.name) for column in keys.columns}
    row["agents"] = None if key.agents is None else sorted(key.agents)
    connection.execute(keys.insert().values(row))
    _raise_version(connection)


def revoke(connection: Connection, reference: str, at: datetime) -> KeyRow:
    """Refuse a key from now on; one that is revoked already stays as it is.

    Args:
        connection: In a writing transaction.
        reference: Its id, the public beginning of its secret, or its name if no other key has it.
        at: Now.

    Raises:
        InputError: There is no such key, or several.
    """
    key = find(connection, reference)
    connection.execute(update(keys).where(keys.c.id == key.id, keys.c.revoked_at.is_(None)).values(revoked_at=at))
    _raise_version(connection)
    return find(connection, key.id)


def remove(connection: Connection, reference: str, at: datetime) -> KeyRow:
    """Delete a key: nothing is left that a secret could be checked against, and no list shows it.

    Its name stays, for the lines of the ledger that it paid; its sessions, which hold plans, go.

    Args:
        connection: In a writing transaction.
        reference: Its id, the public beginning of its secret, or its name if no other key has it, be it revoked.
        at: Now.

    Raises:
        InputError: There is no such key, or several.
    """
    key = find(connection, reference, unique=True)
    blank = {"salt": b"", "digest": b"", "deleted_at": at, "revoked_at": key.revoked_at or at}
    connection.execute(update(keys).where(keys.c.id == key.id).values(blank))
    connection.execute(delete(sessions).where(sessions.c.key_id == key.id))
    connection.execute(delete(answers).where(answers.c.key_id == key.id))
    connection.execute(delete(responses).where(responses.c.key_id == key.id))
    _raise_version(connection)
    return key


def find(connection: Connection, reference: str, *, unique: bool = False) -> KeyRow:
    """The key of this id, public beginning or name.

    Args:
        connection: Reading.
        reference: As for `revoke`.
        unique: Whether a revoked key of the same name counts, too; otherwise the one in force is meant.

    Raises:
        InputError: There is none, or several of this name.
    """
    given = literal(reference, ExactText)
    exact = connection.execute(_THERE.where((keys.c.id == given) | (keys.c.prefix == given)))
    if (row := exact.mappings().first()) is not None:
        return _key(row)
    asked = _THERE.where(keys.c.name == reference).order_by(keys.c.made_at)
    named = [_key(row) for row in connection.execute(asked).mappings()]
    meant = named if unique else [key for key in named if key.revoked_at is None] or named
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(key.id if key.revoked_at is None else f"{key.id} (revoked)" for key in meant)
        raise InputError(f"several keys are called {reference!r}", hint=f"Give one of their ids: {ids}.")
    raise InputError(f"there is no key {_shown(reference)!r}", hint="`sale keys list` shows them.")


def list_keys(connection: Connection) -> Sequence[KeyRow]:
    """All keys, the newest last."""
    asked = _THERE.order_by(keys.c.made_at, keys.c.id)
    return [_key(row) for row in connection.execute(asked).mappings()]


def too_fast(key: KeyRow, wait: float) -> RateLimitError:
    """The key has used up its minute; it may ask again in so many seconds."""
    limits = (f"{quantity(key.rpm, 'request')}" if key.rpm else "", f"{quantity(key.tpm, 'token')}" if key.tpm else "")
    said = " and ".join(limit for limit in limits if limit)
    return RateLimitError(
        f"the key may make {said} a minute, and has",
        hint=f"Try again in {math.ceil(wait)} s.",
        retry_after=wait,
    )


def _raise_version(connection: Connection) -> None:
    connection.execute(update(state).values(changes=state.c.changes + 1))


def _shown(reference: str) -> str:
    """Shorten a reference that may be a whole secret; no message repeats a secret."""
    return reference if len(reference) <= secrets.SHOWN or not reference.startswith("sk-") else reference[:7] + "…"


class Keyring:
    """The keys in use, at hand."""

    def __init__(self, database: StoreDatabase) -> None:
        """Nothing is at hand yet."""
        self._database = database
        self._by_prefix: OrderedDict[str, KeyRow] = OrderedDict()
        self._by_id: dict[str, KeyRow] = {}
        self._standing = KeyringState(changes=0, there=False, in_force=False)
        self._behind: int | None = None
        """The changes of the last read, where they were fewer than were known before it."""
        self._looked_at = float("-inf")
        self._asked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def admit(self, secret: str | None) -> KeyRow | None:
        """The key of a secret; `None` where there is no key at all, and everybody is let in.

        Raises:
            AuthenticationError: No key, or one that is unknown, expired or revoked; also where no key is left that is
                in force, and no request gets in.
            StoreError: The database cannot be read.
        """
        self._asked_at = time.monotonic()
        if self._asked_at - self._looked_at > BELIEVED_SECONDS:
            await self._look_once()
        if not self._standing.there:  # perhaps somebody has just made the first
            return None
        if not self._standing.in_force and not secret:
            raise AuthenticationError(NONE_LEFT, hint=f"{MAKE_ONE} {REMOVE_ALL}")
        if not secret:
            raise AuthenticationError("no key was given", hint=f"Send `Authorization: Bearer sk-sale-…`. {MAKE_ONE}")
        prefix = secrets.prefix_of(secret)
        key = await self._of_prefix(prefix) if prefix else None
        if key is None or key.deleted_at is not None or not secrets.is_secret(secret, key.salt, key.digest):
            raise AuthenticationError("the key is not known here", hint=MAKE_ONE)
        if key.revoked_at is not None:
            raise AuthenticationError(f"the key {key.prefix}… was revoked", hint=MAKE_ONE)
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            raise AuthenticationError(f"the key {key.prefix}… expired on {key.expires_at:%Y-%m-%d}", hint=MAKE_ONE)
        return key

    async def has_keys(self) -> bool:
        """Return whether there is a key, be it revoked or expired: then no request is served without one.

        Raises:
            StoreError: The database cannot be read.
        """
        if not self._standing.there or time.monotonic() - self._looked_at > BELIEVED_SECONDS:
            await self._look_once()
        return self._standing.there

    def find_cached(self, key_id: str) -> KeyRow | None:
        """A key that was let in lately, without looking."""
        return self._by_id.get(key_id)

    async def of_id(self, key_id: str) -> KeyRow:
        """A key by its id; one that was deleted while its request was under way, too.

        Raises:
            StoreError: The database cannot be read.
        """
        if (known := self._by_id.get(key_id)) is not None:
            return known
        key = await self._fetch(select(keys).where(keys.c.id == key_id))
        if key is None:
            raise StoreError(f"the key {key_id} is gone", where=self._database.where, hint=MAKE_ONE)
        return key

    async def keep_current(self) -> None:
        """Look for changes, if a key was asked for lately: then no request has to wait for a look.

        Raises:
            StoreError: The database cannot be read.
        """
        if time.monotonic() - self._asked_at < IN_USE_SECONDS:
            await self._look_once()

    async def look(self) -> None:
        """See what other processes have changed.

        Raises:
            StoreError: The database cannot be read.
        """
        at = time.monotonic()
        known = self._standing.changes
        self._learn(await self._database.read(_standing), known)
        self._looked_at = max(self._looked_at, at)

    async def _look_once(self) -> None:
        """All who come at the same time share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self.look())
            # All who wait may have been cancelled: the next to come looks again, and hears what is wrong.
            self._looking.add_done_callback(retrieve_error)
        await asyncio.shield(self._looking)

    def _learn(self, found: KeyringState, known: int) -> None:
        """Take what was read, unless more is known; `known` are the changes that were so before the read.

        Two reads that agree on fewer mean that the database has gone back: it was restored, or a replica took over.
        One without any key is never believed so, for then everybody would be let in.
        """
        went_back = found.changes < known
        agreed, self._behind = went_back and found.changes == self._behind, found.changes if went_back else None
        if found.changes < self._standing.changes and not (agreed and found.there):
            return  # an older look that took longer, or not yet sure
        if found.changes != self._standing.changes:
            self._by_prefix.clear()
            self._by_id.clear()
        self._standing = found

    async def _of_prefix(self, prefix: str) -> KeyRow | None:
        if (key := self._by_prefix.get(prefix)) is not None:
            self._by_prefix.move_to_end(prefix)
            return key
        return await self._fetch(_THERE.where(keys.c.prefix == prefix))

    async def _fetch(self, asked: Select[Any]) -> KeyRow | None:
        """Read a key, and have it at hand; once more where a key was changed while the read was under way."""

        def ask(connection: Connection) -> tuple[KeyringState, KeyRow | None]:
            row = connection.execute(asked).mappings().first()
            return _standing(connection), None if row is None else _key(row)

        key: KeyRow | None = None
        for _ in range(TRIES):
            known = self._standing.changes
            found, key = await self._database.read(ask)
            self._learn(found, known)
            if found.changes == self._standing.changes:
                return None if key is None else self._remember(key)
        return key

    def _remember(self, key: KeyRow) -> KeyRow:
        self._by_prefix[key.prefix] = self._by_id[key.id] = key
        while len(self._by_prefix) > KEPT:
            _, oldest = self._by_prefix.popitem(last=False)
            self._by_id.pop(oldest.id, None)
        return key
