"""The state of a key for people to read: its settings, what it has spent in this period and what is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from sale.server.store.keys import KeyRow
from sale.server.store.periods import dollars, end_of, start_of
from sale.server.store.schema import budgets, slices
from sale.server.store.types import KeyInfo


def describe_keys(connection: Connection, found: Sequence[KeyRow], at: datetime) -> tuple[KeyInfo, ...]:
    """Return the state of each of these keys at `at`."""
    spent = {(row.key, row.starts_at): row.spent for row in connection.execute(select(budgets))}
    held = select(slices.c.key, slices.c.starts_at, func.sum(slices.c.held).label("held"))
    alive = held.where(slices.c.expires_at >= at).group_by(slices.c.key, slices.c.starts_at)
    reserved = {(row.key, row.starts_at): int(row.held) for row in connection.execute(alive)}
    return tuple(_info(key, spent, reserved, at) for key in found)


def _info(
    key: KeyRow, spent: dict[tuple[str, datetime], int], reserved: dict[tuple[str, datetime], int], at: datetime
) -> KeyInfo:
    start = start_of(key.period, at)
    return KeyInfo(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        budget=None if key.budget is None else dollars(key.budget),
        period=key.period,
        rpm=key.rpm,
        tpm=key.tpm,
        agents=key.agents,
        made_at=key.made_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        tenant=key.belongs_to,
        require=key.require or "",
        spent=dollars(spent.get((key.id, start), 0)),
        reserved=dollars(reserved.get((key.id, start), 0)),
        resets_at=end_of(key.period, start),
    )
